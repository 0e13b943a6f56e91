{{- /* Vrata's configuration: what follows from the values, under what `config` says. */ -}}

{{- define "vrata.role" -}}
{{- default "all" .Values.config.role -}}
{{- end -}}

{{- /* "yes" or nothing, as all that follows: whether a part of the program runs here. */ -}}
{{- define "vrata.servesGateway" -}}
{{- if has (include "vrata.role" .) (list "all" "gateway") }}yes{{ end -}}
{{- end -}}

{{- define "vrata.servesDns" -}}
{{- if and (has (include "vrata.role" .) (list "all" "dns")) (dig "dns" "zones" list .Values.config) }}yes{{ end -}}
{{- end -}}

{{- define "vrata.controls" -}}
{{- if has (include "vrata.role" .) (list "all" "controller") }}yes{{ end -}}
{{- end -}}

{{- define "vrata.servesAdmission" -}}
{{- if and .Values.controller.admissionWebhooks.enabled (include "vrata.controls" .) }}yes{{ end -}}
{{- end -}}

{{- /* Loopback is reached by kubelet's probes only in the node's own network. */ -}}
{{- define "vrata.adminAddress" -}}
{{- $controller := .Values.controller -}}
{{- if $controller.admin.address -}}
{{- $controller.admin.address -}}
{{- else if and $controller.hostNetwork (not $controller.metrics.enabled) -}}
127.0.0.1
{{- else if has "IPv6" $controller.ipFamilies -}}
::
{{- else -}}
0.0.0.0
{{- end -}}
{{- end -}}

{{- define "vrata.socketAddress" -}}
{{- if contains ":" (index . 0) -}}
{{- printf "[%s]:%d" (index . 0) (int (index . 1)) -}}
{{- else -}}
{{- printf "%s:%d" (index . 0) (int (index . 1)) -}}
{{- end -}}
{{- end -}}

{{- /* Every address of each family, as a YAML list. */ -}}
{{- define "vrata.listen" -}}
{{- $port := index . 1 -}}
{{- $addresses := list -}}
{{- range (index . 0).Values.controller.ipFamilies -}}
{{- $addresses = append $addresses (include "vrata.socketAddress" (list (ternary "::" "0.0.0.0" (eq . "IPv6")) $port)) -}}
{{- end -}}
{{- toYaml $addresses -}}
{{- end -}}

{{- define "vrata.config" -}}
{{- $controller := .Values.controller -}}
{{- $ports := $controller.containerPort -}}
{{- $name := include "vrata.fullname" . -}}
{{- if dig "source" "manifests" "" .Values.config -}}
{{- fail "config.source.manifests: this chart serves the cluster that it is installed in; remove the key" -}}
{{- end -}}
{{- $gateway := dict
      "ingressClass" $controller.ingressClass
      "controllerClass" $controller.ingressClassResource.controllerValue
      "watchIngressWithoutClass" $controller.watchIngressWithoutClass
      "drainSeconds" (max 1 (sub (sub (int $controller.terminationGracePeriodSeconds) (int $controller.preStopSleepSeconds)) 15)) -}}
{{- if include "vrata.servesGateway" . -}}
{{- $_ := set $gateway "http" (include "vrata.listen" (list . $ports.http) | fromYamlArray) -}}
{{- $_ := set $gateway "https" (include "vrata.listen" (list . $ports.https) | fromYamlArray) -}}
{{- end -}}
{{- $publish := $controller.publishService -}}
{{- if and $publish.enabled (or $publish.pathOverride $controller.service.enabled) -}}
{{- $_ := set $gateway "publishService" (default (printf "%s/%s" .Release.Namespace $name) $publish.pathOverride) -}}
{{- end -}}
{{- $config := dict
      "source" (dict "kubernetes" (dict "namespace" .Release.Namespace "peersService" (printf "%s-peers" $name)))
      "state" "/var/lib/vrata"
      "gateway" $gateway
      "addresses" (dict "traffic" (ternary "forwarder" "kubeProxy" $controller.hostNetwork))
      "admin" (dict "listen" (include "vrata.socketAddress" (list (include "vrata.adminAddress" .) $ports.admin))) -}}
{{- if include "vrata.servesDns" . -}}
{{- $_ := set $config "dns" (dict "listen" (include "vrata.listen" (list . $ports.dns) | fromYamlArray)) -}}
{{- end -}}
{{- if include "vrata.servesAdmission" . -}}
{{- $every := ternary "::" "0.0.0.0" (has "IPv6" $controller.ipFamilies) -}}
{{- $service := printf "%s-admission.%s.svc" $name .Release.Namespace -}}
{{- $_ := set $config "admission" (dict
      "listen" (include "vrata.socketAddress" (list $every $ports.admission))
      "names" (list $service (printf "%s.cluster.local" $service))) -}}
{{- end -}}
{{- toYaml (mustMergeOverwrite $config (deepCopy .Values.config)) -}}
{{- end -}}
