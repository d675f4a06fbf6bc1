package auditing

import (
	"errors"
	"math/rand/v2"
	"slices"
)

// Orders of what is waiting.
const (
	AsRecorded = ""
	Reverse    = "reverse" // newest first
	Shuffle    = "shuffle"
)

// Knobs are how the stream misbehaves. The zero value is a stream at its best, which
// sends every event at once.
type Knobs struct {
	Duplicates int    `json:"duplicates"` // copies of each event beside itself; 0 to 5
	Order      string `json:"order"`      // of what is waiting: "", reverse, shuffle
	DelayMS    int    `json:"delay_ms"`   // from when an event is recorded until it may be sent; 0 to 600000
	Batch      int    `json:"batch"`      // events of a request at most; 1 to 100, 0: 100
	Drop       int    `json:"drop"`       // so many of the next events are never sent; counts down
	Pause      bool   `json:"pause"`      // nothing is sent, and all waits
}

// Defaults are the knobs as nobody has turned them.
func Defaults() Knobs { return Knobs{DelayMS: int(defaultDelay.Milliseconds()), Batch: maxBatch} }

func (k Knobs) check() error {
	switch {
	case k.Duplicates < 0 || k.Duplicates > 5:
		return errors.New("duplicates must be from 0 to 5")
	case k.Order != AsRecorded && k.Order != Reverse && k.Order != Shuffle:
		return errors.New("order must be empty, reverse or shuffle")
	case k.DelayMS < 0 || k.DelayMS > 600_000:
		return errors.New("delay_ms must be from 0 to 600000")
	case k.Batch < 0 || k.Batch > maxBatch:
		return errors.New("batch must be from 1 to 100")
	case k.Drop < 0 || k.Drop > 100_000:
		return errors.New("drop must be from 0 to 100000")
	}
	return nil
}

// pick takes n events of those that wait, in the order that is asked for, and leaves
// the others as they were recorded.
func (k Knobs) pick(list []waiting, n int) (picked, rest []waiting) {
	switch k.Order {
	case Reverse:
		picked, rest = slices.Clone(list[len(list)-n:]), list[:len(list)-n]
		slices.Reverse(picked)
		return picked, rest
	case Shuffle:
		chosen := rand.Perm(len(list))[:n]
		for _, i := range chosen {
			picked = append(picked, list[i])
		}
		taken := map[int]bool{}
		for _, i := range chosen {
			taken[i] = true
		}
		for i, w := range list {
			if !taken[i] {
				rest = append(rest, w)
			}
		}
		return picked, rest
	}
	return list[:n], list[n:]
}
