package liveness

// Limits are the thresholds of this package. Where one comes from is said beside
// it: idv is reference idv-engine section 4; measured is the table in doc.go;
// chosen is a choice that a measurement does not contradict, no more.
type Limits struct {
	// Pose. "Off" is against the first straight frame.
	Straight     float64 // |asymmetry| of the first frames, at most; chosen
	StraightYaw  float64 // their |yaw|, degrees, at most; chosen
	Pitch        float64 // |pitch| of frontal frames, degrees, at most; as for selfies
	Neutral      float64 // asymmetry off, at most, to be back at the front; chosen
	Peak         float64 // asymmetry of a turn, at least; idv
	PeakYaw      float64 // yaw of a turn, degrees, at least; idv
	PeakOff      float64 // asymmetry off of a turn, at least; chosen
	Beyond       float64 // asymmetry beyond which the mesh loses the face; measured
	Closer       float64 // growth of come_closer, at least; chosen
	NeutralScale float64 // growth, at most, to be back at the distance; chosen
	Shut, Open   float64 // Measure.shut of closed eyes, at least, and of open ones, at most; measured

	// The way there must be seen: steps from frame to frame.
	StepTurn  float64 // asymmetry at most; chosen
	StepScale float64 // growth at most; chosen
	StepPlace float64 // distances between the eyes at most, and as much again each second; chosen
	KeepTurn  float64 // a frame is kept for each of these on the way; chosen
	KeepScale float64
	ShutMS    int64 // eyes shut as long, unasked, did more than blink; chosen

	// Pictures.
	Far, Near     float64 // distance between the eyes in the picture's longer side, at least and at most; chosen
	Aside         float64 // of the eyes from the middle, in the picture's sides, at most; chosen
	Dark, Bright  float64 // mean luma; as for selfies
	Clipped       float64 // as for selfies
	Sharp         float64 // below a selfie's: faces here move; chosen
	SharpStraight float64 // of frontal frames; as for selfies
	Gap           int64   // milliseconds between frames by the camera's clock, at least; chosen
	Drift         int64   // milliseconds by which the clocks may part; chosen
	Same          float64 // mean difference of small pictures below which two frames are one; measured

	// Depth; see relief. All measured.
	Readable    float64 // correlation as a solid from which a comparison says anything
	Turned      float64 // asymmetry off from which a frame of a turn is compared
	Depth       float64 // depth for each unit of asymmetry off, of the middle one of a turn's frames, at least
	LeastDeep   float64 // the same of each of its frames that is Farther off and as well explained as a sheet as FlatSheet, at least: less is a picture
	Farther     float64
	FlatSheet   float64
	Grown       float64 // growth from which a frame of come_closer is compared
	Spread      float64 // spread for each unit of growth, of the middle one of its frames, at least
	LeastSpread float64 // the same of each frame that a sheet explains as well as Sheet, at least: less is a picture
	Sheet       float64
}

// DefaultLimits are those that the tables in doc.go were measured with.
func DefaultLimits() Limits {
	return Limits{
		Straight: 0.27, StraightYaw: 15, Pitch: 25, Neutral: 0.2, Peak: 0.45, PeakYaw: 20, PeakOff: 0.3, Beyond: 1.1,
		Closer: 1.35, NeutralScale: 1.2, Shut: 1.6, Open: 1.3,
		StepTurn: 0.32, StepScale: 1.25, StepPlace: 1.2, KeepTurn: 0.1, KeepScale: 1.1, ShutMS: 500,
		Far: 0.085, Near: 0.34, Aside: 0.25, Dark: 40, Bright: 220, Clipped: 0.35, Sharp: 12, SharpStraight: 25,
		Gap: 50, Drift: 3000, Same: 0.6,
		Readable: 0.68, Turned: 0.15, Depth: 0.35, LeastDeep: 0.15, Farther: 0.25, FlatSheet: 0.9,
		Grown: 1.25, Spread: 0.085, LeastSpread: 0.06, Sheet: 0.98,
	}
}
