package cli

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

func openAPICommand() *cobra.Command {
	return &cobra.Command{
		Use:   "openapi",
		Short: "Prints what describes the admin API to programs",
		Long:  "Prints the OpenAPI 3.1 document of the admin API that the running Caddy has.",
		Args:  cobra.NoArgs,
		RunE:  runs(printOpenAPI),
	}
}

func printOpenAPI(i *invocation) error {
	document, err := get[json.RawMessage](i, adminapi.DocumentPath, nil)
	if err != nil {
		return err
	}
	return i.printJSON(document)
}
