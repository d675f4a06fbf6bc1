package manage

import (
	"errors"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// sessions are the calls that make and change sessions with the management key.
func (s *server) sessions() map[string]call {
	return map[string]call{
		"GET /v1/mgmt/license":         s.license,
		"POST /v1/mgmt/jwt/update":     s.updateJWT,
		"POST /v1/mgmt/auth/signin":    s.signIn,
		"POST /v1/mgmt/auth/signup":    s.signUp,
		"POST /v1/mgmt/auth/signup-in": s.signUpOrIn,
	}
}

func (s *server) updateJWT(r *request) (any, error) {
	var b struct {
		JWT             string         `json:"jwt"`
		CustomClaims    map[string]any `json:"customClaims"`
		RefreshDuration int64          `json:"refreshDuration"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	jwt, err := s.Accounts.UpdateJWT(r.ctx, b.JWT, b.CustomClaims, b.RefreshDuration)
	if err != nil {
		return nil, err
	}
	return map[string]string{"jwt": jwt}, nil
}

// entry is the body of signin, signup and signup-in. The last two have a user.
type entry struct {
	accounts.SignIn
	User *draft `json:"user"`

	SSOAppID         string `json:"ssoAppId"`
	SelectedTenantID string `json:"selectedTenantId"`
}

func (s *server) entry(r *request) (*entry, error) {
	e := new(entry)
	if err := r.read(e); err != nil {
		return nil, err
	}
	switch {
	case e.LoginID == "":
		return nil, bad("loginId is missing.")
	case e.SSOAppID != "":
		return nil, unknown("Signing in to an application (ssoAppId)")
	case e.SelectedTenantID != "":
		return nil, unknown("Selecting a tenant (selectedTenantId)")
	}
	return e, nil
}

func (s *server) signIn(r *request) (any, error) {
	e, err := s.entry(r)
	if err != nil {
		return nil, err
	}
	return s.signedIn(r, e, false)
}

func (s *server) signedIn(r *request, e *entry, firstSeen bool) (any, error) {
	i, err := s.Accounts.SignIn(r.ctx, e.SignIn, firstSeen)
	if err != nil {
		return nil, err
	}
	return i, nil
}

func (s *server) signUp(r *request) (any, error) {
	e, err := s.entry(r)
	if err != nil {
		return nil, err
	}
	return s.signedUp(r, e)
}

func (s *server) signedUp(r *request, e *entry) (any, error) {
	u := project.User{LoginIDs: []string{e.LoginID}, Status: "enabled"}
	if e.User != nil {
		e.User.Status = nil
		e.User.apply(&u)
	}
	made, err := s.Accounts.Create(r.ctx, u)
	if err != nil {
		return nil, err
	}
	e.StepUp, e.MFA, e.JWT, e.RevokeOthers = false, false, "", false
	i, err := s.signedIn(r, e, true)
	if err != nil { // half a sign-up is none
		return nil, errors.Join(err, s.Accounts.Delete(r.ctx, made.UserID))
	}
	return i, nil
}

func (s *server) signUpOrIn(r *request) (any, error) {
	e, err := s.entry(r)
	if err != nil {
		return nil, err
	}
	_, err = s.Accounts.User(r.ctx, e.LoginID)
	switch {
	case errors.Is(err, project.ErrNoUser):
		return s.signedUp(r, e)
	case err != nil:
		return nil, err
	}
	return s.signedIn(r, e, false)
}

// public are the calls without a management key.
func (s *server) public() map[string]call {
	return map[string]call{
		"GET /v2/keys/{project}":               s.keys,
		"GET /{project}/.well-known/jwks.json": s.keys,
		"POST /v1/auth/refresh":                s.refresh,
		"POST /v1/auth/try-refresh":            s.tryRefresh,
		"GET /v1/auth/me":                      s.me,
		"GET /v1/auth/me/history":              s.myHistory,
		"POST /v1/auth/logout":                 s.logout,
		"POST /v1/auth/logoutall":              s.logoutAll,
	}
}

func (s *server) keys(r *request) (any, error) {
	if r.PathValue("project") != s.ProjectID {
		return nil, unknown("The project of this id")
	}
	r.w.Header().Set("Cache-Control", "public, max-age=60")
	return s.Accounts.JWKS(), nil
}

func (s *server) refresh(r *request) (any, error) {
	i, err := s.Accounts.Refresh(r.ctx, r.token)
	if err != nil {
		return nil, err
	}
	return i, nil
}

// tryRefresh is refresh for a page that does not know whether there is a session:
// none is no error.
func (s *server) tryRefresh(r *request) (any, error) {
	i, err := s.Accounts.Refresh(r.ctx, r.token)
	if errors.Is(err, project.ErrToken) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return i, nil
}

func (s *server) me(r *request) (any, error) {
	u, err := s.Accounts.Holder(r.ctx, r.token)
	if err != nil {
		return nil, err
	}
	return u, nil
}

func (s *server) myHistory(r *request) (any, error) {
	u, err := s.Accounts.Holder(r.ctx, r.token)
	if err != nil {
		return nil, err
	}
	return s.Accounts.History(r.ctx, []string{u.UserID}), nil
}

func (s *server) logout(r *request) (any, error) { return nil, s.Accounts.Logout(r.ctx, r.token) }

func (s *server) logoutAll(r *request) (any, error) { return nil, s.Accounts.LogoutAll(r.ctx, r.token) }
