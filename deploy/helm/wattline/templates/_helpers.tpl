{{- define "wattline.labels" -}}
app.kubernetes.io/name: wattline
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/component: {{ .component }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "wattline.selector" -}}
app.kubernetes.io/name: wattline
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* wattline for a release of that name, else <release>-wattline. */}}
{{- define "wattline.name" -}}
{{- $base := ternary .root.Release.Name (printf "%s-wattline" .root.Release.Name) (contains "wattline" .root.Release.Name) -}}
{{- printf "%s-%s" ($base | trunc 50 | trimSuffix "-") .component -}}
{{- end }}

{{- define "wattline.image" -}}
{{- $image := .root.Values.image -}}
{{- $tag := default .root.Chart.AppVersion $image.tag -}}
{{- printf "%s-%s%s%s" $image.repository .program (ternary "@" ":" (hasPrefix "sha256:" $tag)) $tag -}}
{{- end }}

{{- define "wattline.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "wattline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "wattline.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "wattline.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{- /* How Kafka is reached: settings that are no secret, and the names of files that are mounted. */}}
{{- define "wattline.kafka.env" -}}
- {name: KAFKA_BOOTSTRAP_SERVERS, value: {{ required "kafka.bootstrapServers: is not set" .Values.kafka.bootstrapServers | quote }}}
- {name: KAFKA_SECURITY_PROTOCOL, value: {{ .Values.kafka.securityProtocol | quote }}}
{{- range $name, $value := .Values.kafka.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- if .Values.kafka.secretName }}
{{- range .Values.kafka.secretSettings }}
- {name: {{ . }}_FILE, value: /run/secrets/kafka/{{ . }}}
{{- end }}
{{- end }}
{{- if .Values.kafka.tls.secretName }}
- {name: KAFKA_SSL_CAFILE, value: /run/secrets/kafka-tls/ca.crt}
{{- if .Values.kafka.tls.clientCertificate }}
- {name: KAFKA_SSL_CERTFILE, value: /run/secrets/kafka-tls/tls.crt}
- {name: KAFKA_SSL_KEYFILE, value: /run/secrets/kafka-tls/tls.key}
{{- end }}
{{- end }}
{{- end }}

{{- define "wattline.kafka.mounts" -}}
{{- if .Values.kafka.secretName }}
- {name: kafka, mountPath: /run/secrets/kafka, readOnly: true}
{{- end }}
{{- if .Values.kafka.tls.secretName }}
- {name: kafka-tls, mountPath: /run/secrets/kafka-tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "wattline.kafka.volumes" -}}
{{- if .Values.kafka.secretName }}
- name: kafka
  secret: {secretName: {{ .Values.kafka.secretName }}, defaultMode: 0440}
{{- end }}
{{- if .Values.kafka.tls.secretName }}
- name: kafka-tls
  secret: {secretName: {{ .Values.kafka.tls.secretName }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{- /* Of the Secret with a URL for each role, a pod is given only those of its own. */}}
{{- define "wattline.database.mounts" -}}
- {name: database, mountPath: /run/secrets/database, readOnly: true}
{{- if .Values.database.tls.secretName }}
- {name: database-tls, mountPath: /run/secrets/database-tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "wattline.database.volumes" -}}
- name: database
  secret:
    secretName: {{ required "database.secretName: is not set" .root.Values.database.secretName }}
    defaultMode: 0440
    items:
      {{- range .urls }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- if .root.Values.database.tls.secretName }}
- name: database-tls
  secret: {secretName: {{ .root.Values.database.tls.secretName }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{- define "wattline.settings" -}}
{{- range $name, $value := . }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
