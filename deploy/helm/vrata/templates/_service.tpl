{{- /* What the two Services that clients reach have in common. Arguments: root, values of the Service. */ -}}

{{- define "vrata.publicService" -}}
{{- $service := index . 1 -}}
type: {{ $service.type }}
{{- with $service.clusterIP }}
clusterIP: {{ . }}
{{- end }}
{{- with $service.externalIPs }}
externalIPs:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if eq $service.type "LoadBalancer" }}
{{- with $service.loadBalancerIP }}
loadBalancerIP: {{ . }}
{{- end }}
{{- with $service.loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- with $service.loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- if and $service.externalTrafficPolicy (ne $service.type "ClusterIP") }}
externalTrafficPolicy: {{ $service.externalTrafficPolicy }}
{{- end }}
{{- with $service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with $service.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
selector:
  {{- include "vrata.selector" (index . 0) | nindent 2 }}
{{- end -}}
