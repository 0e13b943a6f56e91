{{- /* The pod of the Deployment or DaemonSet. */ -}}

{{- define "vrata.probe" -}}
httpGet:
  path: {{ index . 1 }}
  port: admin
  {{- if eq (include "vrata.adminAddress" (index . 0)) "127.0.0.1" }}
  host: 127.0.0.1
  {{- end }}
{{- end -}}

{{- define "vrata.ports" -}}
{{- $ports := .Values.controller.containerPort }}
{{- if include "vrata.servesGateway" . }}
- {name: http, containerPort: {{ $ports.http }}, protocol: TCP}
- {name: https, containerPort: {{ $ports.https }}, protocol: TCP}
{{- end }}
{{- if include "vrata.servesDns" . }}
- {name: dns, containerPort: {{ $ports.dns }}, protocol: UDP}
- {name: dns-tcp, containerPort: {{ $ports.dns }}, protocol: TCP}
{{- end }}
{{- if include "vrata.servesAdmission" . }}
- {name: admission, containerPort: {{ $ports.admission }}, protocol: TCP}
{{- end }}
- {name: admin, containerPort: {{ $ports.admin }}, protocol: TCP}
{{- end -}}

{{- define "vrata.stateVolume" -}}
{{- $state := .Values.controller.state -}}
name: state
{{- if eq $state.type "hostPath" }}
hostPath: {path: {{ $state.hostPath.path | quote }}, type: Directory}
{{- else if eq $state.type "persistentVolumeClaim" }}
persistentVolumeClaim:
  claimName: {{ required "controller.state.persistentVolumeClaim.claimName is required with type persistentVolumeClaim" $state.persistentVolumeClaim.claimName }}
{{- else }}
emptyDir:
  {{- toYaml $state.emptyDir | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "vrata.container" -}}
{{- $controller := .Values.controller -}}
name: vrata
image: {{ include "vrata.image" . | quote }}
imagePullPolicy: {{ $controller.image.pullPolicy }}
args:
  - run
  - --config=/etc/vrata/config.yaml
  {{- with $controller.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  - {name: RUST_LOG, value: {{ $controller.logLevel | quote }}}
  - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
  {{- with $controller.extraEnvs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  {{- include "vrata.ports" . | trim | nindent 2 }}
# The first read of a large cluster takes its time.
startupProbe:
  {{- include "vrata.probe" (list . "/healthz") | nindent 2 }}
  periodSeconds: 2
  failureThreshold: 150
livenessProbe:
  {{- include "vrata.probe" (list . "/healthz") | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 2
  failureThreshold: 5
readinessProbe:
  {{- include "vrata.probe" (list . "/readyz") | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- if $controller.preStopSleepSeconds }}
lifecycle:
  preStop: {sleep: {seconds: {{ $controller.preStopSleepSeconds }}}}
{{- end }}
resources:
  {{- toYaml $controller.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
    add: [NET_BIND_SERVICE]
volumeMounts:
  - {name: config, mountPath: /etc/vrata/config.yaml, subPath: config.yaml, readOnly: true}
  - {name: state, mountPath: /var/lib/vrata}
  {{- if .Values.zoneFiles }}
  - {name: zone-files, mountPath: /etc/vrata/zone-files, readOnly: true}
  {{- end }}
  {{- with $controller.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "vrata.spread" -}}
{{- if .Values.controller.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml .Values.controller.topologySpreadConstraints | nindent 2 }}
{{- else if and (eq .Values.controller.kind "Deployment") (gt (int .Values.controller.replicaCount) 1) }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "vrata.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{- define "vrata.pod" -}}
{{- $controller := .Values.controller -}}
metadata:
  labels:
    {{- include "vrata.selector" . | nindent 4 }}
    {{- with $controller.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # The configuration is read once, at the start: pods are replaced when it changes.
    checksum/config: {{ printf "%s%s" (include "vrata.config" .) (toYaml .Values.zoneFiles) | sha256sum }}
    {{- with $controller.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "vrata.serviceAccount" . }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  hostNetwork: {{ $controller.hostNetwork }}
  dnsPolicy: {{ default (ternary "ClusterFirstWithHostNet" "ClusterFirst" $controller.hostNetwork) $controller.dnsPolicy }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $controller.terminationGracePeriodSeconds }}
  {{- with $controller.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with $controller.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "vrata.spread" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  containers:
    - {{ include "vrata.container" . | nindent 6 | trim }}
  volumes:
    - name: config
      configMap: {name: {{ include "vrata.fullname" . }}}
    - {{ include "vrata.stateVolume" . | nindent 6 | trim }}
    {{- if .Values.zoneFiles }}
    - name: zone-files
      configMap: {name: {{ include "vrata.fullname" . }}-zone-files}
    {{- end }}
    {{- with $controller.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
