package cli

import (
	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

func healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Tells whether sign-ins and calls can be answered",
		Long: `Tells whether sign-ins and calls can be answered: exits with status 0 if so,
else with 1 and the reason, for the health check of a container.`,
		Args: cobra.NoArgs,
		RunE: runs(health),
	}
}

func health(i *invocation) error {
	answer, err := get[adminapi.Health](i, adminapi.HealthPath, nil)
	if err != nil {
		return err
	}
	return i.print(answer, &table{none: answer.Status})
}
