// Verifies who calls an MCP server behind the site. Needs
// Microsoft.IdentityModel.Protocols.OpenIdConnect 8 or later, which knows no EdDSA:
// the site has to have `signing { algorithm ES256 }`.
using System.Security.Claims;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Protocols;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;
using Microsoft.IdentityModel.Tokens;

/// <summary>Verifies what a site says to one server, by the server's URL there. Make it once.</summary>
public sealed class Verifier(string site, string server)
{
    private const string Algorithm = SecurityAlgorithms.EcdsaSha256; // the site's option signing
    private const string Type = "mcp-identity+jwt"; // at+jwt for access tokens

    private readonly JsonWebTokenHandler handler = new() { MapInboundClaims = false };

    private readonly TokenValidationParameters parameters = new()
    {
        // Names the keys, which are kept, and fetched again for an unknown kid.
        ConfigurationManager = new ConfigurationManager<OpenIdConnectConfiguration>(
            site + "/.well-known/openid-configuration", new OpenIdConnectConfigurationRetriever()),
        ValidAlgorithms = [Algorithm],
        ValidTypes = [Type],
        ValidIssuer = site,
        ValidAudience = server,
        RequireSignedTokens = true,
        RequireExpirationTime = true,
        ClockSkew = TimeSpan.FromSeconds(10),
    };

    /// <summary>Returns the claims of whoever calls.</summary>
    public async Task<ClaimsIdentity> VerifyAsync(string token)
    {
        var result = await handler.ValidateTokenAsync(token, parameters);
        return result.IsValid ? result.ClaimsIdentity : throw result.Exception;
    }
}
