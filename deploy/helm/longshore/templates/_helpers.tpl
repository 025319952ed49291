{{/* The chart's name, and the prefix of the names of all objects. */}}
{{- define "longshore.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "longshore.fullname" -}}
{{- $name := include "longshore.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "longshore.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "longshore.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Labels that never change, because selectors have them. */}}
{{- define "longshore.selectorLabels" -}}
app.kubernetes.io/name: {{ include "longshore.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "longshore.labels" -}}
{{ include "longshore.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "longshore.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* A pool with the settings of `worker` where it has none of its own, as JSON. Takes {root, pool}. */}}
{{- define "longshore.pool" -}}
{{- mergeOverwrite (deepCopy .root.Values.worker) .pool | toJson }}
{{- end }}

{{- define "longshore.poolName" -}}
{{- printf "%s-worker-%s" (include "longshore.fullname" .root) .pool.name }}
{{- end }}

{{- define "longshore.poolSelectorLabels" -}}
{{ include "longshore.selectorLabels" .root }}
app.kubernetes.io/component: worker
pool: {{ .pool.name }}
{{- end }}

{{- define "longshore.schedulerSelectorLabels" -}}
{{ include "longshore.selectorLabels" . }}
app.kubernetes.io/component: scheduler
{{- end }}

{{/* Seconds that a worker may take to stop. Takes a pool. */}}
{{- define "longshore.terminationGracePeriodSeconds" -}}
{{- if kindIs "invalid" .terminationGracePeriodSeconds }}
{{- add .drainSeconds 60 }}
{{- else }}
{{- int64 .terminationGracePeriodSeconds }}
{{- end }}
{{- end }}
