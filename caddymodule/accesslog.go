package caddymodule

import (
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap"
)

// OAuth puts state and code into queries: into that of our authorization
// endpoint and callback, and of the redirect back to the client. A link on which
// somebody connects an account has its ticket in the path, which is also the
// Referer of what its page sends. Caddy's access log records these URLs. An
// operator filters them as Caddyfile.example does.
func filteredFields(links bool) []string {
	fields := []string{"request>uri", "resp_headers>Location"}
	if links {
		fields = append(fields, "request>headers>Referer")
	}
	return fields
}

// warnOfCodesInAccessLog names the logs that would record codes and states or,
// where there are links, their tickets.
func warnOfCodesInAccessLog(ctx caddy.Context, server *caddyhttp.Server, host string, links bool, log *zap.Logger) {
	for name, missing := range unfilteredLogs(configuredLogs(ctx), accessLoggers(server.Logs, host), links) {
		log.Warn("the access log records codes and states of OAuth, or links to connect accounts; filter these fields as Caddyfile.example does",
			zap.String("log", name), zap.Strings("fields", missing))
	}
}

// accessLoggers returns the names under which a server writes the access log
// of a host.
func accessLoggers(c *caddyhttp.ServerLogConfig, host string) []string {
	const access = "http.log.access"
	names, mapped := c.LoggerNames[host]
	switch {
	case slices.Contains(c.SkipHosts, host):
		return nil
	case mapped:
	case c.SkipUnmappedHosts:
		return nil
	default:
		names = []string{c.DefaultLoggerName}
	}
	loggers := make([]string, len(names))
	for i, name := range names {
		loggers[i] = strings.TrimSuffix(access+"."+name, ".")
	}
	return loggers
}

// unfilteredLogs returns the logs that take entries of the loggers without
// filtering every field, by name with those fields.
func unfilteredLogs(logs map[string]*loggedFields, loggers []string, links bool) map[string][]string {
	found := map[string][]string{}
	for name, l := range logs {
		if !slices.ContainsFunc(loggers, l.accepts) {
			continue
		}
		var missing []string
		for _, field := range filteredFields(links) {
			if !l.filters(field, links) {
				missing = append(missing, field)
			}
		}
		if len(missing) > 0 {
			found[name] = missing
		}
	}
	return found
}

// loggedFields is what matters of one configured log.
type loggedFields struct {
	include, exclude []string
	filtered         map[string]reflect.Type // by field, the kind of its filter
}

// filters reports whether a field is filtered: where there are links, by more
// than a filter of its query.
func (l *loggedFields) filters(field string, links bool) bool {
	kind := l.filtered[field]
	return kind != nil && !(links && kind == reflect.TypeFor[*logging.QueryFilter]())
}

func (l *loggedFields) accepts(logger string) bool {
	within := func(space string) bool { return logger == space || strings.HasPrefix(logger, space+".") }
	return (len(l.include) == 0 || slices.ContainsFunc(l.include, within)) && !slices.ContainsFunc(l.exclude, within)
}

// configuredLogs returns the logs of the configuration. Caddy shows a module
// only its own part, so this reads the rest by reflection, which is safe;
// should a release of Caddy change it, the default log alone is returned, as
// one that filters nothing.
func configuredLogs(ctx caddy.Context) (logs map[string]*loggedFields) {
	logs = map[string]*loggedFields{"default": {}}
	defer func() {
		if recover() != nil {
			logs = map[string]*loggedFields{"default": {}}
		}
	}()
	config := reflect.ValueOf(ctx).FieldByName("cfg")
	section := config.Elem().FieldByName("Logging")
	if section.IsNil() {
		return logs
	}
	for entry := section.Elem().FieldByName("Logs").MapRange(); entry.Next(); {
		log := entry.Value().Elem()
		l := &loggedFields{include: texts(log.FieldByName("Include")), exclude: texts(log.FieldByName("Exclude"))}
		if encoder := log.FieldByName("encoder").Elem(); encoder.IsValid() && encoder.Type() == reflect.TypeFor[*logging.FilterEncoder]() {
			l.filtered = kinds(encoder.Elem().FieldByName("Fields"))
		}
		logs[entry.Key().String()] = l
	}
	return logs
}

func texts(list reflect.Value) []string {
	out := make([]string, list.Len())
	for i := range out {
		out[i] = list.Index(i).String()
	}
	return out
}

// kinds returns the types of the values in a map of interfaces.
func kinds(m reflect.Value) map[string]reflect.Type {
	types := make(map[string]reflect.Type, m.Len())
	for entry := m.MapRange(); entry.Next(); {
		types[entry.Key().String()] = entry.Value().Elem().Type()
	}
	return types
}
