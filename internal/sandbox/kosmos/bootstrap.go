package kosmos

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"slices"
	"strings"
)

// Reference 1.1.

type tenantInfo struct {
	ID                          string   `json:"id"`
	TenantTag                   string   `json:"tenanttag"`
	Name                        string   `json:"name"`
	TenantType                  string   `json:"tenanttype"`
	Firstname                   string   `json:"firstname"`
	Lastname                    string   `json:"lastname"`
	OtherDNS                    []string `json:"otherDNS"`
	DisplayTenantInfoForPersona bool     `json:"displayTenantInfoForPersona"`
}

type communityInfo struct {
	ID                string  `json:"id"`
	TenantID          string  `json:"tenantid"`
	Name              string  `json:"name"`
	PublicKey         string  `json:"publicKey"`
	Logo              string  `json:"logo"`
	MobileLogo        string  `json:"mobileLogo"`
	AccountsPerPerson int     `json:"accountsPerPerson"`
	PersonsPerAccount int     `json:"personsPerAccount"`
	PersonLimitRule   string  `json:"personLimitRule"`
	OTPSeed           *string `json:"otpSeed"`
}

func (s *Server) communityInfo(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		DNS           string `json:"dns"`
		CommunityName string `json:"communityName"`
		TenantID      string `json:"tenantId"`
		CommunityID   string `json:"communityId"`
		SkipLogos     bool   `json:"skipLogos"`
	}
	if !readJSON(w, r, &ask) {
		return
	}
	unable := problem{http.StatusNotFound, styleMessage, "Unable to load tenant/community", ""}
	if ask.DNS == "" && ask.TenantID == "" || ask.CommunityName == "" && ask.CommunityID == "" {
		unable.status = http.StatusBadRequest
		unable.write(w)
		return
	}
	tenant := ask.TenantID == s.tenantID || ask.TenantID == "" && s.ownHost(ask.DNS)
	community := ask.CommunityID == s.communityID || ask.CommunityID == "" && ask.CommunityName == s.opt.Community
	if !tenant || !community {
		unable.write(w)
		return
	}
	logo := ""
	if !ask.SkipLogos {
		logo = communityLogo()
	}
	writeJSON(w, http.StatusOK, struct {
		Tenant    tenantInfo    `json:"tenant"`
		Community communityInfo `json:"community"`
		Message   *string       `json:"message"`
	}{
		tenantInfo{
			ID: s.tenantID, TenantTag: s.opt.TenantTag, Name: "Kosmoscope local tenant", TenantType: "master",
			OtherDNS: s.hosts(), DisplayTenantInfoForPersona: true,
		},
		communityInfo{
			ID: s.communityID, TenantID: s.tenantID, Name: s.opt.Community,
			PublicKey: s.keys.key(svcCommunity).Public().String(), Logo: logo,
			AccountsPerPerson: 12, PersonsPerAccount: 20, PersonLimitRule: "reject",
		},
		nil,
	})
}

func (s *Server) ownHost(dns string) bool {
	return slices.ContainsFunc(s.hosts(), func(h string) bool { return strings.EqualFold(h, dns) })
}

// communityLogo is a plain square, base64 PNG.
func communityLogo() string {
	img := image.NewPaletted(image.Rect(0, 0, 64, 64), color.Palette{color.RGBA{0x1d, 0x4e, 0x89, 0xff}})
	var b bytes.Buffer
	_ = png.Encode(&b, img) // into memory: cannot fail
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// serviceDirectory names the services of this tenant (reference 1.2). Named
// are those that work and those that a client must know to boot: the vendor's
// helper takes a directory without "licenses" for none. webauthn is absent
// because nothing answers there, workflowapi because the published directory
// has no such key.
func (s *Server) serviceDirectory(w http.ResponseWriter, r *http.Request) {
	// The host by which the client came, if it is one of ours: aliases work whole.
	host := s.opt.DNS
	if s.ownHost(r.Host) {
		host = r.Host
	}
	base := "https://" + host
	writeJSON(w, http.StatusOK, map[string]string{
		"adminconsole":    base,
		"docuverify":      base + "/docuverify",
		"events":          base + "/events",
		"global_caas":     base + "/caas",
		"idproofing":      base + "/idproofing",
		"idproofingapi":   base + "/idproofingapi",
		"licenses":        base + "/licenses",
		"oauth2":          base + "/oauth2",
		"reports":         base + "/reports",
		"sessions":        base + "/sessions",
		"user_management": base + "/users-mgmt",
		"vcs":             base + "/vcs",
	})
}

func (s *Server) publicKeys(service string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"publicKey": s.keys.key(service).Public().String()})
	}
}

func (s *Server) communityPublicKeys(w http.ResponseWriter, r *http.Request) {
	if !s.ownCommunity(w, r) {
		return
	}
	s.publicKeys(svcCommunity)(w, r)
}

// ownCommunity checks the community in the path and the tenant in the
// X-TenantTag header. When it returns false it has answered.
func (s *Server) ownCommunity(w http.ResponseWriter, r *http.Request) bool {
	if r.PathValue("community") != s.opt.Community || r.Header.Get("X-TenantTag") != s.opt.TenantTag {
		problem{http.StatusNotFound, styleMessage, "Unable to load tenant/community", ""}.write(w)
		return false
	}
	return true
}
