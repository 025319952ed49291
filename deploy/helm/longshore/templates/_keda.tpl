{{/* Not empty if a pool is scaled by KEDA. */}}
{{- define "longshore.usesKeda" -}}
{{- range .Values.pools }}
{{- $pool := include "longshore.pool" (dict "root" $ "pool" .) | fromJson }}
{{- if eq $pool.autoscaling.type "keda" }}yes{{ end }}
{{- end }}
{{- end }}

{{/*
How KEDA reaches Redis, from `redis`, as JSON: {type, metadata, authentication}. All metadata are texts. The
ports are those that the programs assume, too.
*/}}
{{- define "longshore.kedaRedis" -}}
{{- $redis := .Values.redis }}
{{- $url := urlParse $redis.url }}
{{- $hosts := $url.host | default "" }}
{{- $path := trimPrefix "/" $url.path }}
{{- $type := "redis-streams" }}
{{- $metadata := dict }}
{{- $port := ternary "26379" "6379" (hasSuffix "+sentinel" $url.scheme) }}
{{- $addresses := list }}
{{- range splitList "," $hosts }}
{{- $addresses = append $addresses (ternary . (printf "%s:%s" . $port) (regexMatch ":[0-9]+$" .)) }}
{{- end }}
{{- if hasSuffix "+sentinel" $url.scheme }}
{{- $type = "redis-sentinel-streams" }}
{{- $_ := set $metadata "addresses" (join "," $addresses) }}
{{- $_ := set $metadata "sentinelMaster" (first (splitList "/" $path)) }}
{{- with $redis.sentinel.username }}{{ $_ := set $metadata "sentinelUsername" . }}{{ end }}
{{- $path = join "/" (rest (splitList "/" $path)) }}
{{- else if hasSuffix "+cluster" $url.scheme }}
{{- $type = "redis-cluster-streams" }}
{{- $_ := set $metadata "addresses" (join "," $addresses) }}
{{- else }}
{{- $_ := set $metadata "address" (first $addresses) }}
{{- end }}
{{- with $path }}{{ $_ := set $metadata "databaseIndex" . }}{{ end }}
{{- with $redis.username | default $url.userinfo }}{{ $_ := set $metadata "username" . }}{{ end }}
{{- if hasPrefix "rediss" $url.scheme }}{{ $_ := set $metadata "enableTLS" "true" }}{{ end }}
{{- $secrets := list }}
{{- with $redis.passwordSecret }}{{ if .name }}
{{- $secrets = append $secrets (dict "parameter" "password" "name" .name "key" .key) }}
{{- end }}{{ end }}
{{- with $redis.sentinel.passwordSecret }}{{ if .name }}
{{- $secrets = append $secrets (dict "parameter" "sentinelPassword" "name" .name "key" .key) }}
{{- end }}{{ end }}
{{- with $redis.tlsSecret }}{{ if .name }}
{{- range $parameter, $key := dict "ca" .caKey "cert" .certKey "key" .keyKey }}
{{- if $key }}
{{- $secrets = append $secrets (dict "parameter" $parameter "name" $redis.tlsSecret.name "key" $key) }}
{{- end }}
{{- end }}
{{- end }}{{ end }}
{{- dict "type" $type "metadata" $metadata "authentication" $secrets | toJson }}
{{- end }}
