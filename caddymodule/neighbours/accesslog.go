package neighbours

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap"
)

// URLs have secrets: codes and states of OAuth, the sealed request of a flow,
// and links on which somebody connects an account. They are in the URL of a
// request, in the Location of an answer, and in what headers repeat of the URL.
// Caddy's access log records all of them, at level DEBUG its error log too. An
// operator filters them as Caddyfile.example does.

// secretParams are the parameters of queries that are secret, or are where
// somebody by mistake puts what is.
var secretParams = []string{
	"code", "state", "flow_id", "ticket", "token", "access_token", "refresh_token", "id_token", "client_secret", "code_verifier", "csrf_token",
}

// sampleSecret stands for a secret in the samples.
const sampleSecret = "secret-of-a-sample"

// secretURLs are samples of URLs with a secret: all that a filter must catch.
func secretURLs(links bool) []string {
	var urls []string
	for _, param := range secretParams {
		urls = append(urls, "/oauth/consent?"+param+"="+sampleSecret, "https://client.example/cb?iss=x&"+param+"="+sampleSecret+"&a=b")
	}
	if links {
		urls = append(urls, "/oauth/connect/"+sampleSecret, "https://mcp.example.com/oauth/connect/"+sampleSecret+"?error=x")
	}
	return urls
}

var filteredFields = []string{"request>uri", "resp_headers>Location", "request>headers>Referer"}

// WarnOfSecretsInLogs names the logs that would record secrets in URLs. links says
// that the site has links on which people connect accounts.
func WarnOfSecretsInLogs(ctx caddy.Context, host string, links bool, log *zap.Logger) {
	logs := configuredLogs(ctx)
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && server.Logs != nil {
		for name, missing := range unfilteredLogs(logs, accessLoggers(server.Logs, host), links) {
			log.Warn("the access log records codes and states of OAuth, or links to connect accounts; filter these fields as Caddyfile.example does",
				zap.String("log", name), zap.Strings("fields", missing))
		}
	}
	// At level DEBUG, Caddy's handlers write the whole request, and refused ones.
	maps.DeleteFunc(logs, func(_ string, l *loggedFields) bool { return !strings.EqualFold(l.level, "debug") })
	for name, missing := range unfilteredLogs(logs, []string{"http.log.error", "http.handlers.reverse_proxy"}, links) {
		log.Warn("a log at level DEBUG records URLs with codes and states of OAuth, or links to connect accounts; filter these fields as Caddyfile.example does, or set the level to INFO",
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
		for _, field := range filteredFields {
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
	level            string
	include, exclude []string
	filtered         map[string]reflect.Value // by field, its filter
}

// filters reports whether no secret of a field gets into the log.
func (l *loggedFields) filters(field string, links bool) bool {
	filter, ok := l.filtered[field]
	if !ok {
		return false
	}
	switch filter.Type() {
	case reflect.TypeFor[logging.DeleteFilter](), reflect.TypeFor[logging.ReplaceFilter](), reflect.TypeFor[logging.HashFilter]():
		return true
	case reflect.TypeFor[logging.QueryFilter]():
		return !links && filtersParams(filter.FieldByName("Actions"))
	case reflect.TypeFor[logging.RegexpFilter]():
		return filtersSamples(filter.FieldByName("RawRegexp").String(), filter.FieldByName("Value").String(), links)
	}
	return false // of no other kind is known what it leaves
}

// filtersParams reports whether the actions of a query filter are about every
// secret parameter.
func filtersParams(actions reflect.Value) bool {
	covered := map[string]bool{}
	for i := range actions.Len() {
		covered[actions.Index(i).FieldByName("Parameter").String()] = true
	}
	return !slices.ContainsFunc(secretParams, func(param string) bool { return !covered[param] })
}

// filtersSamples reports whether a regular expression catches the secrets.
func filtersSamples(expression, value string, links bool) bool {
	pattern, err := regexp.Compile(expression)
	return err == nil && !slices.ContainsFunc(secretURLs(links), func(url string) bool {
		return strings.Contains(pattern.ReplaceAllString(url, value), sampleSecret)
	})
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
		l := &loggedFields{level: log.FieldByName("Level").String(), include: texts(log.FieldByName("Include")), exclude: texts(log.FieldByName("Exclude"))}
		if encoder := log.FieldByName("encoder").Elem(); encoder.IsValid() && encoder.Type() == reflect.TypeFor[*logging.FilterEncoder]() {
			l.filtered = filtersOf(encoder.Elem().FieldByName("Fields"))
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

// filtersOf returns the filters in a map of interfaces.
func filtersOf(m reflect.Value) map[string]reflect.Value {
	filters := make(map[string]reflect.Value, m.Len())
	for entry := m.MapRange(); entry.Next(); {
		filters[entry.Key().String()] = reflect.Indirect(entry.Value().Elem())
	}
	return filters
}
