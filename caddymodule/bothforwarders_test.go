package caddymodule

import (
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// What tests say of calls that this module forwards by itself is true of those that
// Caddy's reverse_proxy forwards. MCP_OAUTH_TEST_FORWARDER=reverse_proxy has all tests
// run so, also those of the whole system.
func TestOverReverseProxy(t *testing.T) {
	if allProxied {
		t.Skip("all tests run so")
	}
	allProxied = true
	t.Cleanup(func() { allProxied = false })
	for _, test := range ofForwarding() {
		name := runtime.FuncForPC(reflect.ValueOf(test).Pointer()).Name()
		t.Run(name[strings.LastIndex(name, ".")+1:], test)
	}
}

// ofForwarding returns the tests of what becomes of calls on their way.
func ofForwarding() []func(*testing.T) {
	return []func(*testing.T){
		TestUpstreamSeesOnlyTheGatewaysWord, TestHeaderVariantsLetIn_E10, TestPathConfusion_E13, TestNoTunnel_E15,
		TestNoTrailers_E08_E09, TestUpstreamsAnswer, TestClientsQuery, TestUpstreamRequiresScope, TestInformationalAnswer,
		TestUpstreamsRedirect_K13, TestUpstreamsTrailers, TestBodyIsStreamed,
		TestTransparent, TestSessionIDs_E22, TestSessionOfAnotherKey_E22,
		TestOnlyKnownHeadersPass_E09, TestTrustedProxysHeaders,
		TestStreamSurvivesReload, TestStreamEndsWithItsServer, TestStreamsEndAtExit, TestStreamEndsWithItsToken_E18,
		TestSlowAnswerEndsWithItsToken_E18, TestClientThatDoesNotReadIsCutOffAtExit, TestHangingCallIsEnded,
		TestBatchPasses_P17, TestConnectedStream_P7_P8,
		TestRejectedCallOfSharedAccount_E24, TestRejectedCallEndsNoGrant_E24, TestRefusedCredentialWithoutRefresh_E24,
		TestScopeAskOfSharedAccount_CL16,
		TestEachCallCarriesItsOwnAccount_E25_CL18, TestBodyIsSentAgain, TestRefusedCredential_E24, TestSessionOfAnAccount_E22_P11,
		TestAnotherAccountDuringACall_E22_P11, TestOneRefreshForEverybody_K10_CL23, TestElicitationComplete, TestStreamWaitsForWord,
		TestAnswersWithAccessRules, TestRefusedByAccessRule, TestStreamEndsByAccessRule, TestPinnedToolsAreHeldBack,
		TestNobodyGetsAnothersAnswer, TestAccessLogOfCalls,
		TestIdentityJWT_E09_E10, TestTraces, TestNoRouteLogsASecret_A16, TestSlowBody_N08, TestPlaceholders_N05,
	}
}
