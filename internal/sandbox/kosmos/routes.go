package kosmos

import (
	"net/http"
	"strings"
)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/r1/system/community_info/fetch", s.communityInfo)
	mux.HandleFunc("GET /caas/sd", s.serviceDirectory)
	for _, name := range services {
		if name != svcCommunity {
			mux.HandleFunc("GET /"+name+"/publickeys", s.publicKeys(name))
		}
	}
	mux.HandleFunc("GET /api/r1/community/{community}/publickeys", s.communityPublicKeys)
	mux.HandleFunc("GET /api/r1/community/{community}/userid/{username}/ial", s.ial)

	mux.HandleFunc("POST /docuverify/document_share_session/create", s.createSession)
	mux.HandleFunc("POST /docuverify/document_share_session/result", s.resultV1)
	mux.HandleFunc("POST /docuverify/v3/document_share_session/result", s.resultV3)

	mux.HandleFunc("POST /v1/verify/sessions", s.v1Create)
	mux.HandleFunc("GET /v1/verify/sessions/{id}/status", s.v1SessionStatus)
	mux.HandleFunc("POST /v1/verify/sessions/{id}/status", s.v1SessionStatus)

	s.userRoutes(mux)
	s.captureRoutes(mux)
	s.stepUpRoutes(mux)
	s.oauthRoutes(mux)
	s.messagingRoutes(mux)
	s.eventRoutes(mux)
	s.webhookRoutes(mux)

	// What is left: paths of services that this server does not have say so in
	// JSON; the tenant's web root answers 200 and HTML to anything, like the
	// real one (reference 1.8), which is why clients check the content type.
	for _, prefix := range append([]string{"api", "caas", "v1", "oauth2", "webauthn", "webhooks", "authn", "acr", "idproofing"}, services...) {
		if prefix != svcCommunity {
			mux.HandleFunc("/"+prefix+"/", func(w http.ResponseWriter, _ *http.Request) { guessNoRoute.write(w) })
		}
	}
	mux.HandleFunc("/", webRoot)
	return noSniff(mux)
}

func noSniff(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

func webRoot(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	if strings.HasPrefix(r.URL.Path, "/favicon") {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = w.Write([]byte("<!doctype html><html lang=\"en\"><title>Kosmoscope local 1Kosmos</title>" +
		"<p>This is a local stand-in for a 1Kosmos tenant. Verification links lead to the right page.</p></html>\n"))
}
