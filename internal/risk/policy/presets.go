package policy

import "github.com/kosmoscope/kosmoscope/internal/risk"

// Preset is a policy that comes with the program.
type Preset struct {
	Name        string    `json:"name"`
	Title       string    `json:"title"`
	Description string    `json:"description"`
	Document    *Document `json:"document"`
}

// Names of the presets.
const (
	Lenient  = "lenient"
	Balanced = "balanced"
	Strict   = "strict"
)

// Presets are the policies that come with the program, from mild to strict. Each call
// gives documents of its own.
func Presets() []Preset {
	list := []Preset{
		{Lenient, "Lenient", "Asks for a face when several things are unusual at once, or a sensitive permission is requested.", lenient()},
		{Balanced, "Balanced", "Asks for a face when the device (or nobody says that it is known), the network or the country is new, nobody travels so fast, Descope sees a risk, " +
			"or a sensitive permission is requested; and when weaker hints add up.", balanced()},
		{Strict, "Strict", "Asks for a face at any hint, also where device or network cannot be told, and refuses many attempts from a new device behind an anonymiser.", strict()},
	}
	for i := range list {
		list[i].Document.Name, list[i].Document.Description = list[i].Title, list[i].Description
	}
	return list
}

// PresetByName gives the document of one preset.
func PresetByName(name string) (*Document, bool) {
	for _, p := range Presets() {
		if p.Name == name {
			return p.Document, true
		}
	}
	return nil, false
}

// drawing lays a document out: columns from left to right, nodes from top to bottom.
type drawing struct {
	doc  *Document
	rows map[float64]float64 // the next free place in a column
}

// Columns and rows of a drawing, in the editor's pixels.
const (
	column = 280
	row    = 100
)

func draw() *drawing {
	return &drawing{&Document{Format: Format, Otherwise: risk.Allow, Nodes: []Node{}, Edges: []Edge{}}, map[float64]float64{}}
}

// add puts a node into a column, below those that are there, and connects it.
func (d *drawing) add(col float64, n Node, from ...string) string {
	n.X, n.Y = col*column, d.rows[col]*row
	d.rows[col]++
	d.doc.Nodes = append(d.doc.Nodes, n)
	for _, f := range from {
		d.doc.Edges = append(d.doc.Edges, Edge{f, n.ID})
	}
	return n.ID
}

// name is a signal's name as an id.
func name(signal string) string {
	id := []byte(signal)
	for i, c := range id {
		if c == '_' {
			id[i] = '-'
		}
	}
	return string(id)
}

func (d *drawing) signals(unknown Unknown, names ...string) []string {
	var ids []string
	for _, s := range names {
		ids = append(ids, d.add(0, Node{ID: name(s), Type: TypeSignal, Signal: s, Unknown: unknown}))
	}
	return ids
}

// score weighs signals with their own weights, and holds from a number of points on.
func (d *drawing) score(from []string, least float64) string {
	d.rows[2]++ // below the edges that go straight from a condition to a rule
	d.rows[3]++
	var weights []string
	for _, f := range from {
		weights = append(weights, d.add(1, Node{ID: f + "-points", Type: TypeWeight}, f))
	}
	d.add(2, Node{ID: "score", Type: TypeCombine, How: Sum, Label: "Points"}, weights...)
	return d.add(3, Node{ID: "enough", Type: TypeCondition, Op: AtLeast, Value: &least, Label: "Enough points"}, "score")
}

func (d *drawing) any(from []string) string {
	return d.add(1, Node{ID: "any", Type: TypeCondition, Op: Any, Label: "Any of these"}, from...)
}

func (d *drawing) decide(id, label string, v risk.Verdict, from string) {
	d.add(4, Node{ID: id, Type: TypeDecide, Decision: v, Label: label}, from)
}

func lenient() *Document {
	d := draw()
	enough := d.score(d.signals("", "new_device", "unfamiliar_ip", "geo_anomaly", "impossible_travel", "sensitive_scope",
		"velocity", "dormant_account", "unusual_hour", "anonymiser", "descope_risk", "recent_proofing"), 50)
	d.decide("ask-points", "Ask for a face", risk.StepUp, enough)
	return d.doc
}

func balanced() *Document {
	d := draw()
	// A device that nobody knows is new. Of networks, which are private for many, what
	// cannot be told is neutral.
	device := d.signals(Raises, "new_device")
	one := d.any(append(device, d.signals("", "unfamiliar_ip", "geo_anomaly", "impossible_travel", "sensitive_scope", "descope_risk")...))
	enough := d.score(d.signals("", "velocity", "dormant_account", "unusual_hour", "anonymiser", "recent_proofing"), 50)
	d.decide("ask-any", "Ask for a face", risk.StepUp, one)
	d.decide("ask-points", "Ask for a face", risk.StepUp, enough)
	return d.doc
}

func strict() *Document {
	d := draw()
	unsure := d.signals(Raises, "new_device", "unfamiliar_ip")
	rest := d.signals("", "geo_anomaly", "impossible_travel", "sensitive_scope", "velocity", "dormant_account", "unusual_hour", "anonymiser", "descope_risk")
	// Nobody is refused because their device cannot be told.
	certain := d.add(0, Node{ID: "surely-new-device", Type: TypeSignal, Signal: "new_device", Label: "New device, for certain"})
	// Nor because others failed with their account: what is counted is the device and the network.
	there := d.add(0, Node{ID: "many-from-there", Type: TypeSignal, Signal: "velocity", Label: "Many attempts from there",
		Params: map[string]any{"person_attempts": 100000.0, "person_failures": 100000.0}})
	all := d.add(1, Node{ID: "all", Type: TypeCondition, Op: All, Label: "All of these"}, there, name("anonymiser"), certain)
	one := d.any(append(unsure, rest...))
	d.decide("refuse", "Refuse", risk.Deny, all)
	d.decide("ask-any", "Ask for a face", risk.StepUp, one)
	return d.doc
}
