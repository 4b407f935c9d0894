package event

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// onSpan adds the event to the span of the request, if a trace is recorded. It has
// what tells nothing of a person: that is for the log, unless the operator wants it
// in traces too, which is up to their configuration of those.
func (e *Event) onSpan(ctx context.Context) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	var attributes []attribute.KeyValue
	for _, field := range []struct{ name, value string }{{"flow", e.Flow}, {"server", e.Server}, {"correlation_id", e.Reference}} {
		if field.value != "" {
			attributes = append(attributes, attribute.String(spanPrefix+field.name, field.value))
		}
	}
	span.SetAttributes(attributes...) // by which people search
	attributes = append(attributes, attribute.String(spanPrefix+"outcome", string(e.Kind.Outcome())))
	if e.Reason != "" {
		attributes = append(attributes, attribute.String(spanPrefix+"reason", e.Reason))
	}
	span.AddEvent(spanPrefix+e.Kind.String(), trace.WithAttributes(attributes...))
}

const spanPrefix = "mcp_oauth."

// OnSpan says on the span of a request which server it is for, if a trace is recorded.
func OnSpan(ctx context.Context, server string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attribute.String(spanPrefix+"server", server))
	}
}
