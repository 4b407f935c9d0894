package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/presets"
)

func runPresets(args ...string) (string, error) {
	parent := &cobra.Command{Use: "mcp-oauth", SilenceErrors: true, SilenceUsage: true}
	Add(parent)
	var out bytes.Buffer
	parent.SetOut(&out)
	parent.SetErr(&out)
	parent.SetArgs(append([]string{"presets"}, args...))
	err := parent.Execute()
	return out.String(), err
}

func TestPresets(t *testing.T) {
	all, err := runPresets()
	if lines := strings.Count(all, "\n"); err != nil || lines != len(presets.All())+1 || !strings.Contains(all, "https://mcp.notion.com/mcp") {
		t.Errorf("%d lines, error %v:\n%s", lines, err, all)
	}
	one, err := runPresets("github", "--json")
	var got []presets.Preset
	if err := json.Unmarshal([]byte(one), &got); err != nil {
		t.Fatal(err)
	}
	if err != nil || len(got) != 1 || got[0].Application != "https://github.com/settings/developers" {
		t.Errorf("%+v, error %v", got, err)
	}
	if _, err := runPresets("nosuch"); err == nil || !strings.Contains(err.Error(), `no preset has the name "nosuch"`) {
		t.Errorf("an unknown name: %v", err)
	}
}
