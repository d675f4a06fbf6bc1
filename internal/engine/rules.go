package engine

import (
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

const (
	// oldest is the age from which a holder is nobody, years.
	oldest = 130
	// longest is how far ahead a document may expire, years. Passports and cards
	// are valid for ten years at most, some permits and cards of the old for
	// fifteen; one is left for those issued ahead of time.
	longest = 16
)

// plausible judges what was read by the rules that hold for every document: who
// issued it, for whom, when. What Parse did not understand is empty.
func plausible(d api.Document, now time.Time) finding {
	refuse := func(detail string) finding {
		return finding{outcome: api.Fail, reason: api.ReasonDocumentImplausible, detail: detail}
	}
	switch {
	case !known(issuers, d.IssuingCountry):
		return refuse("The issuer is no state or organization that issues travel documents.")
	case !known(issuers, d.Nationality) && !known(stateless, d.Nationality):
		return refuse("The nationality is not one that travel documents name.")
	case strings.Trim(d.Number, "<0") == "":
		return refuse("The document has no number.")
	}
	birth, birthErr := time.Parse(time.DateOnly, d.BirthDate)
	expiry, expiryErr := time.Parse(time.DateOnly, d.ExpiryDate)
	if expiryErr != nil || d.BirthDate != "" && birthErr != nil {
		return finding{outcome: api.CannotTell, reason: api.ReasonMRZUnreadable, detail: "A date is not a date."}
	}
	if expiry.After(now.AddDate(longest, 0, 0)) {
		return refuse("The document expires later than any is issued for.")
	}
	if birthErr == nil { // an issuer may know no more than the year, and then there is no date
		switch {
		case birth.After(now):
			return refuse("The date of birth is still to come.")
		case !birth.AddDate(oldest, 0, 0).After(now):
			return refuse("The holder would be older than anybody is.")
		case !expiry.After(birth):
			return refuse("The document expired before its holder was born.")
		}
	}
	detail := "Issuer, nationality, number and dates can be those of a document."
	if d.IssuingCountry == specimens {
		detail += " Its issuer is Utopia, a state that exists on specimens only."
	}
	return finding{outcome: api.Pass, detail: detail}
}

func known(codes, code string) bool {
	return len(code) > 0 && !strings.Contains(code, " ") && strings.Contains(codes, " "+code+" ")
}

// specimens is the code of Utopia, for examples and specimens (Doc 9303-3, section 5).
const specimens = "UTO"

// issuers are the codes of those who issue travel documents: the states of ISO
// 3166-1, alpha-3, and what Doc 9303-3 section 5 adds to them.
const issuers = " ABW AFG AGO AIA ALA ALB AND ARE ARG ARM ASM ATA ATF ATG AUS AUT AZE BDI BEL BEN BES BFA BGD BGR BHR BHS BIH BLM BLR BLZ BMU BOL BRA BRB BRN BTN BVT BWA" +
	" CAF CAN CCK CHE CHL CHN CIV CMR COD COG COK COL COM CPV CRI CUB CUW CXR CYM CYP CZE DEU DJI DMA DNK DOM DZA ECU EGY ERI ESH ESP EST ETH FIN FJI FLK FRA FRO FSM" +
	" GAB GBR GEO GGY GHA GIB GIN GLP GMB GNB GNQ GRC GRD GRL GTM GUF GUM GUY HKG HMD HND HRV HTI HUN IDN IMN IND IOT IRL IRN IRQ ISL ISR ITA JAM JEY JOR JPN" +
	" KAZ KEN KGZ KHM KIR KNA KOR KWT LAO LBN LBR LBY LCA LIE LKA LSO LTU LUX LVA MAC MAF MAR MCO MDA MDG MDV MEX MHL MKD MLI MLT MMR MNE MNG MNP MOZ MRT MSR MTQ MUS MWI MYS MYT" +
	" NAM NCL NER NFK NGA NIC NIU NLD NOR NPL NRU NZL OMN PAK PAN PCN PER PHL PLW PNG POL PRI PRK PRT PRY PSE PYF QAT REU ROU RUS RWA" +
	" SAU SDN SEN SGP SGS SHN SJM SLB SLE SLV SMR SOM SPM SRB SSD STP SUR SVK SVN SWE SWZ SXM SYC SYR TCA TCD TGO THA TJK TKL TKM TLS TON TTO TUN TUR TUV TWN TZA" +
	" UGA UKR UMI URY USA UZB VAT VCT VEN VGB VIR VNM VUT WLF WSM YEM ZAF ZMB ZWE" +
	// Germany, the European Union, British nationals of other kinds, and Kosovo.
	" D EUE GBD GBN GBO GBP GBS RKS" +
	// The United Nations, its agencies, its mission in Kosovo.
	" UNO UNA UNK" +
	// Organizations: two African banks, Caribbean Community, Council of Europe, COMESA,
	// ECOWAS, Interpol, Eastern Caribbean States, Parliamentary Assembly of the
	// Mediterranean, Order of Malta, Southern African Development Community.
	" XBA XIM XCC XCE XCO XEC XPO XES XMP XOM XDC" +
	" " + specimens + " "

// stateless are the nationalities of those who have none: stateless, refugees of
// the two kinds, not specified.
const stateless = " XXA XXB XXC XXX "
