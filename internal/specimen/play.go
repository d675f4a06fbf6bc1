package specimen

import (
	"math"
	"time"
)

// once is the time that one action takes.
const once = 4 * time.Second

// Act is how somebody does one action of a challenge (the names are those of the
// engine's api), since it was asked for: a moment of nothing, there, a pause, and
// back. Whoever is still asked after four seconds does it again, and turns less
// far every other time. total is the time since the start: nobody holds quite still.
func Act(action string, since, total time.Duration) Pose {
	t, now := (since % once).Seconds(), total.Seconds()
	far := 40.0
	if since/once%2 == 1 {
		far = 27
	}
	p := Pose{Closer: 1 + 0.008*math.Sin(1.1*now), X: 0.03*math.Sin(0.9*now) + 0.012*math.Sin(3.1*now), Y: 0.02*math.Sin(0.7*now+1) + 0.008*math.Sin(2.7*now),
		Yaw: 1.2 * math.Sin(1.3*now), Pitch: 0.8 * math.Sin(0.8*now+2), Roll: 0.7 * math.Sin(0.6*now+1)}
	switch action {
	case "turn_left":
		p.Yaw += far * bump(t, 0.4, 1.8, 2.3, 3.5)
	case "turn_right":
		p.Yaw -= far * bump(t, 0.4, 1.8, 2.3, 3.5)
	case "come_closer":
		p.Closer *= 1 + 0.55*bump(t, 0.4, 2.0, 2.4, 3.6)
	case "blink":
		p.EyesClosed = bump(t, 0.6, 0.75, 1.25, 1.4)
	}
	return p
}

// bump rises from 0 to 1 between a and b and falls again between c and d.
func bump(t, a, b, c, d float64) float64 {
	smooth := func(x float64) float64 {
		x = min(max(x, 0), 1)
		return x * x * (3 - 2*x)
	}
	return smooth((t-a)/(b-a)) - smooth((t-c)/(d-c))
}

// Moment is one moment of a Play.
type Moment struct {
	Action int           // place in the list
	At     time.Duration // since the start
	Pose   Pose
}

// Play is how somebody does actions one after the other, each in four seconds,
// seen every so often.
func Play(actions []string, every time.Duration) []Moment {
	var out []Moment
	for at := time.Duration(0); at < once*time.Duration(len(actions)); at += every {
		i := int(at / once)
		out = append(out, Moment{i, at, Act(actions[i], at-once*time.Duration(i), at)})
	}
	return out
}
