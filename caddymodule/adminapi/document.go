package adminapi

import (
	_ "embed"
	"encoding/json"
	"net/http"
)

// DocumentPath is where this API is described.
const DocumentPath = "/mcp_oauth/openapi.json"

var documentRoutes = []route{{
	method: http.MethodGet, path: DocumentPath,
	about:  "This API as an OpenAPI 3.1 document.",
	answer: json.RawMessage{}, serve: showDocument,
}}

func showDocument(*call) (any, error) { return json.RawMessage(document), nil }

// document is made from the routes and the comments of what they answer:
//
//	go test ./caddymodule/adminapi -update
//
//go:embed openapi.json
var document []byte
