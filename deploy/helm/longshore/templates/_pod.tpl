{{/* The parts that the pods of workers, schedulers and the migration have in common. */}}

{{- define "longshore.secretFolder" -}}/etc/longshore/secrets{{- end }}

{{/* How the programs reach Redis and Postgres. */}}
{{- define "longshore.databaseEnv" -}}
{{- with .Values.database }}
{{- if .url }}
- name: LONGSHORE_DATABASE_URL
  value: {{ .url | quote }}
{{- else }}
- name: LONGSHORE_DATABASE_URL
  valueFrom:
    secretKeyRef: {name: {{ .urlSecret.name }}, key: {{ .urlSecret.key }}}
{{- end }}
{{- if .passwordSecret.name }}
- name: LONGSHORE_DATABASE_PASSWORD_FILE
  value: {{ include "longshore.secretFolder" $ }}/database-password
{{- end }}
{{- end }}
{{- end }}

{{- define "longshore.redisEnv" -}}
{{- $folder := include "longshore.secretFolder" . }}
{{- with .Values.redis }}
{{- if .url }}
- name: LONGSHORE_REDIS_URL
  value: {{ .url | quote }}
{{- else }}
- name: LONGSHORE_REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ .urlSecret.name }}, key: {{ .urlSecret.key }}}
{{- end }}
{{- if .username }}
- name: LONGSHORE_REDIS_USERNAME
  value: {{ .username | quote }}
{{- end }}
{{- if .passwordSecret.name }}
- name: LONGSHORE_REDIS_PASSWORD_FILE
  value: {{ $folder }}/redis-password
{{- end }}
{{- if .tlsSecret.name }}
{{- if .tlsSecret.caKey }}
- name: LONGSHORE_REDIS_CA_FILE
  value: {{ $folder }}/redis-ca.pem
{{- end }}
{{- if .tlsSecret.certKey }}
- name: LONGSHORE_REDIS_CERT_FILE
  value: {{ $folder }}/redis-cert.pem
- name: LONGSHORE_REDIS_KEY_FILE
  value: {{ $folder }}/redis-key.pem
{{- end }}
{{- end }}
{{- if .sentinel.username }}
- name: LONGSHORE_REDIS_SENTINEL_USERNAME
  value: {{ .sentinel.username | quote }}
{{- end }}
{{- if .sentinel.passwordSecret.name }}
- name: LONGSHORE_REDIS_SENTINEL_PASSWORD_FILE
  value: {{ $folder }}/sentinel-password
{{- end }}
{{- end }}
{{- end }}

{{/* One source of the volume of secrets: a Secret, with the files of some of its keys. Takes {name, files}. */}}
{{- define "longshore.secretSource" -}}
- secret:
    name: {{ .name }}
    items:
      {{- range $file, $key := .files }}
      {{- if $key }}
      - {key: {{ $key }}, path: {{ $file }}}
      {{- end }}
      {{- end }}
{{- end }}

{{/* The Secrets that are mounted as files; empty if there are none. */}}
{{- define "longshore.databaseSecretSources" -}}
{{- with .Values.database }}
{{- with .passwordSecret }}{{ if .name }}
{{ include "longshore.secretSource" (dict "name" .name "files" (dict "database-password" .key)) }}
{{- end }}{{ end }}
{{- with .tlsSecret }}{{ if .name }}
{{ include "longshore.secretSource" (dict "name" .name "files" (dict "database-ca.pem" .caKey "database-cert.pem" .certKey "database-key.pem" .keyKey)) }}
{{- end }}{{ end }}
{{- end }}
{{- end }}

{{- define "longshore.redisSecretSources" -}}
{{- with .Values.redis }}
{{- with .passwordSecret }}{{ if .name }}
{{ include "longshore.secretSource" (dict "name" .name "files" (dict "redis-password" .key)) }}
{{- end }}{{ end }}
{{- with .tlsSecret }}{{ if .name }}
{{ include "longshore.secretSource" (dict "name" .name "files" (dict "redis-ca.pem" .caKey "redis-cert.pem" .certKey "redis-key.pem" .keyKey)) }}
{{- end }}{{ end }}
{{- with .sentinel.passwordSecret }}{{ if .name }}
{{ include "longshore.secretSource" (dict "name" .name "files" (dict "sentinel-password" .key)) }}
{{- end }}{{ end }}
{{- end }}
{{- end }}

{{- define "longshore.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The image, the security of the pod, and no access to the Kubernetes API. */}}
{{- define "longshore.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- range $name, $id := .Values.security }}
  {{- if not (kindIs "invalid" $id) }}
  {{ $name }}: {{ int64 $id }}
  {{- end }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{/* A container that applies the migrations. It needs Postgres and nothing that the chart creates. */}}
{{- define "longshore.migrateContainer" -}}
- name: migrate
  image: {{ include "longshore.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [longshore, migrate]
  env:
    {{- include "longshore.databaseEnv" . | trim | nindent 4 }}
    {{- with .Values.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  resources:
    {{- toYaml .Values.migrations.resources | nindent 4 }}
  securityContext:
    {{- include "longshore.containerSecurity" . | nindent 4 }}
  {{- if include "longshore.databaseSecretSources" . }}
  volumeMounts:
    - name: secrets
      mountPath: {{ include "longshore.secretFolder" . }}
      readOnly: true
  {{- end }}
{{- end }}

{{/*
The pod of a service. Takes {root, component, settings, selectorLabels, env, envFrom}: `settings` are those of
`scheduler` or of a pool, `env` and `envFrom` what only this service has.
*/}}
{{- define "longshore.servicePod" -}}
{{- $root := .root }}
{{- $settings := .settings }}
{{- $secrets := printf "%s%s" (include "longshore.redisSecretSources" $root) (include "longshore.databaseSecretSources" $root) }}
metadata:
  labels:
    {{- .selectorLabels | nindent 4 }}
    {{- with $settings.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or $root.Values.restartOnConfigChange $settings.podAnnotations }}
  annotations:
    {{- if $root.Values.restartOnConfigChange }}
    checksum/config: {{ toYaml $root.Values.config | sha256sum }}
    {{- end }}
    {{- with $settings.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "longshore.serviceAccountName" $root }}
  {{- include "longshore.podBasics" $root | nindent 2 }}
  terminationGracePeriodSeconds: {{ .terminationGracePeriodSeconds }}
  {{- with $settings.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $settings.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $settings.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $settings.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $settings.topologySpread }}
  topologySpreadConstraints:
    {{- range . }}
    - topologyKey: {{ .topologyKey }}
      maxSkew: {{ int64 .maxSkew }}
      whenUnsatisfiable: {{ .whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- $.selectorLabels | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- if eq $root.Values.migrations.mode "initContainer" }}
  initContainers:
    {{- include "longshore.migrateContainer" $root | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "longshore.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [longshore-{{ .component }}]
      ports:
        - name: http
          containerPort: {{ int64 $root.Values.health.port }}
      env:
        - name: LONGSHORE_CONFIG
          value: /etc/longshore/config/longshore.yaml
        {{- include "longshore.redisEnv" $root | trim | nindent 8 }}
        {{- include "longshore.databaseEnv" $root | trim | nindent 8 }}
        - name: LONGSHORE_NAMESPACE
          value: {{ $root.Values.redis.namespace | quote }}
        - name: LONGSHORE_LISTEN
          value: {{ printf "%s:%d" $root.Values.health.address (int64 $root.Values.health.port) | quote }}
        - name: LONGSHORE_MIGRATE
          value: {{ eq $root.Values.migrations.mode "service" | quote }}
        - name: LONGSHORE_LOG
          value: {{ $root.Values.log | quote }}
        {{- with .env }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with concat $root.Values.env $settings.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with concat .envFrom $root.Values.envFrom $settings.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- range $probe, $path := dict "liveness" "/live" "readiness" "/ready" }}
      {{ $probe }}Probe:
        httpGet:
          path: {{ $path }}
          port: http
        {{- range $name, $value := index $root.Values.health $probe }}
        {{ $name }}: {{ int64 $value }}
        {{- end }}
      {{- end }}
      resources:
        {{- toYaml $settings.resources | nindent 8 }}
      securityContext:
        {{- include "longshore.containerSecurity" $root | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/longshore/config
          readOnly: true
        {{- if $secrets }}
        - name: secrets
          mountPath: {{ include "longshore.secretFolder" $root }}
          readOnly: true
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "longshore.fullname" $root }}
    {{- if $secrets }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- include "longshore.redisSecretSources" $root | trim | nindent 10 }}
          {{- include "longshore.databaseSecretSources" $root | trim | nindent 10 }}
    {{- end }}
{{- end }}
