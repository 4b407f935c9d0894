package caddymodule

import (
	"fmt"
	"net/http"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:      "mcp-oauth",
		Short:     "Asks a running Caddy about its mcp_oauth sites",
		Long:      "Asks a running Caddy about its mcp_oauth sites, through its admin API.",
		CobraFunc: addCommands,
	})
}

func addCommands(cmd *cobra.Command) {
	cmd.PersistentFlags().String("address", "", "the address of the admin API, if it is not the default")
	cmd.AddCommand(&cobra.Command{
		Use:   "health",
		Short: "Tells whether sign-ins and calls can be answered",
		Long: `Tells whether sign-ins and calls can be answered: exits with status 0 if so,
else with 1 and the reason, for the health check of a container.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(health),
	})
}

func health(flags caddycmd.Flags) (int, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(flags.String("address"), nil, "", "")
	if err != nil {
		return 1, err
	}
	res, err := caddycmd.AdminAPIRequest(address, http.MethodGet, adminapi.HealthPath, nil, nil)
	if err != nil {
		return 1, err
	}
	defer func() { _ = res.Body.Close() }()
	fmt.Println("ok")
	return 0, nil
}
