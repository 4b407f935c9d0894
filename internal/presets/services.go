package presets

import (
	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// all is sorted by name. Each has its documents in the tests, with which a person
// connects an account.
var all = []Preset{
	{
		Name: "airtable", Title: "Airtable", URL: "https://mcp.airtable.com/mcp", Note: "In an Enterprise workspace, an administrator has to allow the client ID of this site.",
		Auth: config.Auth{Resource: "https://mcp.airtable.com"},
	},
	{
		Name: "asana", Title: "Asana", URL: "https://mcp.asana.com/v2/mcp", Application: "https://app.asana.com/0/my-apps",
		Note: "Create an app of the type MCP app.", Auth: config.Auth{AccountName: []string{"data.email"}},
	},
	{Name: "atlassian", Title: "Atlassian", URL: "https://mcp.atlassian.com/v2/mcp"},
	{Name: "box", Title: "Box", URL: "https://mcp.box.com/", Application: "https://app.box.com/developers/console"},
	{Name: "calendly", Title: "Calendly", URL: "https://mcp.calendly.com/"},
	{Name: "canva", Title: "Canva", URL: "https://mcp.canva.com/mcp"},
	{Name: "clickup", Title: "ClickUp", URL: "https://mcp.clickup.com/mcp", Note: "Gives no refresh tokens; a connection lasts until ClickUp ends it."},
	{Name: "close", Title: "Close", URL: "https://mcp.close.com/mcp"},
	{Name: "cloudflare", Title: "Cloudflare", URL: "https://mcp.cloudflare.com/mcp"},
	{Name: "exa", Title: "Exa", URL: "https://mcp.exa.ai/mcp"},
	{
		Name: "github", Title: "GitHub", URL: "https://api.githubcopilot.com/mcp/", Application: "https://github.com/settings/developers",
		Auth: config.Auth{
			Scopes: []string{"repo", "read:org"}, AccountURL: "https://api.github.com/user", AccountName: []string{"login"},
			AuthMethod: oauth.AuthSecretPost, Quirks: client.Quirks{NoResource: true},
		},
	},
	{Name: "gitlab", Title: "GitLab", URL: "https://gitlab.com/api/v4/mcp", Note: "Your own GitLab: add its URL, https://gitlab.example.com/api/v4/mcp, as a third argument instead."},
	{
		Name: "google-calendar", Title: "Google Calendar", URL: "https://calendarmcp.googleapis.com/mcp/v1", Application: "https://console.cloud.google.com/auth/clients",
		Note: "Create a client of the type web application.",
		Auth: config.Auth{
			Issuer: "https://accounts.google.com", Scopes: []string{"openid", "email", "https://www.googleapis.com/auth/calendar.readonly"},
			Quirks: client.Quirks{NoResource: true, AuthorizeParams: map[string]string{"access_type": "offline", "prompt": "consent"}},
		},
	},
	{Name: "granola", Title: "Granola", URL: "https://mcp.granola.ai/mcp", Auth: config.Auth{Scopes: []string{"openid", "email", "offline_access"}}},
	{
		Name: "hubspot", Title: "HubSpot", URL: "https://mcp.hubspot.com/", Application: "https://app.hubspot.com/l/mcp-auth-apps/",
		Note: "Create an MCP auth app.",
	},
	{Name: "intercom", Title: "Intercom", URL: "https://mcp.intercom.com/mcp"},
	{Name: "linear", Title: "Linear", URL: "https://mcp.linear.app/mcp"},
	{Name: "mercadopago", Title: "Mercado Pago", URL: "https://mcp.mercadopago.com/mcp"},
	{Name: "miro", Title: "Miro", URL: "https://mcp.miro.com/"},
	{Name: "monday", Title: "monday.com", URL: "https://mcp.monday.com/mcp"},
	{Name: "neon", Title: "Neon", URL: "https://mcp.neon.tech/mcp", Auth: config.Auth{Scopes: []string{"read", "write"}}},
	{Name: "netlify", Title: "Netlify", URL: "https://netlify-mcp.netlify.app/mcp"},
	{Name: "notion", Title: "Notion", URL: "https://mcp.notion.com/mcp"},
	{Name: "plaid", Title: "Plaid", URL: "https://api.dashboard.plaid.com/mcp/sse", Auth: config.Auth{Scopes: []string{"mcp:dashboard"}}},
	{Name: "posthog", Title: "PostHog", URL: "https://mcp.posthog.com/mcp"},
	{
		Name: "salesforce", Title: "Salesforce", URL: "https://api.salesforce.com/platform/mcp/v1/platform/sobject-all", Application: "https://login.salesforce.com/",
		Note: "Create an External Client App in Setup.", Auth: config.Auth{AuthMethod: oauth.AuthSecretPost},
	},
	{Name: "sentry", Title: "Sentry", URL: "https://mcp.sentry.dev/mcp"},
	{
		Name: "slack", Title: "Slack", URL: "https://mcp.slack.com/mcp", Application: "https://api.slack.com/apps",
		Note: "Create an internal app with the user token scopes that its tools need, allow it MCP, and set the same as `scopes`.",
		Auth: config.Auth{
			// Its metadata calls itself mcp.slack.com at one time and slack.com at another.
			AuthorizationEndpoint: "https://slack.com/oauth/v2_user/authorize", TokenEndpoint: "https://slack.com/api/oauth.v2.user.access",
			Resource: "https://mcp.slack.com", AuthMethod: oauth.AuthSecretPost, AccountURL: "https://slack.com/api/auth.test", AccountName: []string{"user", "team"},
			Quirks: client.Quirks{UserToken: true},
		},
	},
	{Name: "stripe", Title: "Stripe", URL: "https://mcp.stripe.com/"},
	{Name: "supabase", Title: "Supabase", URL: "https://mcp.supabase.com/mcp"},
	{Name: "todoist", Title: "Todoist", URL: "https://ai.todoist.net/mcp"},
	{Name: "vercel", Title: "Vercel", URL: "https://mcp.vercel.com/"},
	{Name: "webflow", Title: "Webflow", URL: "https://mcp.webflow.com/mcp"},
}
