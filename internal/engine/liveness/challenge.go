package liveness

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// Times of a challenge. Whoever is asked for nothing difficult needs two to four
// seconds for one action.
const (
	ActionTime = 10 * time.Second
	TotalTime  = 60 * time.Second
)

// asked is the number of actions between the two straight looks.
const asked = 3

// sequences are all that a challenge may ask for between them: three actions, no
// one twice in a row, at least two of them turns. There are 18, each as likely, and
// 14 have turns to both sides. A recording of one sequence fits one draw in 18.
var sequences = func() [][]string {
	all := []string{api.ActionLeft, api.ActionRight, api.ActionCloser, api.ActionBlink}
	var out [][]string
	for _, a := range all {
		for _, b := range all {
			for _, c := range all {
				turns := 0
				for _, x := range []string{a, b, c} {
					if side(x) != 0 {
						turns++
					}
				}
				if a != b && b != c && turns >= 2 {
					out = append(out, []string{a, b, c})
				}
			}
		}
	}
	return out
}()

// side is the direction of a turn in the picture, +1 to its right, which is the
// person's left; 0 for what is no turn.
func side(action string) float64 {
	switch action {
	case api.ActionLeft:
		return 1
	case api.ActionRight:
		return -1
	}
	return 0
}

// Draw draws a challenge. The error is the random source's.
func Draw() (api.Challenge, error) {
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return api.Challenge{}, fmt.Errorf("liveness: random: %w", err)
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(len(sequences))))
	if err != nil {
		return api.Challenge{}, fmt.Errorf("liveness: random: %w", err)
	}
	return api.Challenge{Nonce: hex.EncodeToString(nonce),
		Actions:  slices.Concat([]string{api.ActionStraight}, sequences[n.Int64()], []string{api.ActionStraight}),
		ActionMS: ActionTime.Milliseconds(), TotalMS: TotalTime.Milliseconds()}, nil
}

// Drawn reports whether c is a challenge that Draw could have drawn. The engine
// keeps none, so that c is of this session is for whoever runs it to see to.
func Drawn(c api.Challenge) bool {
	nonce, err := hex.DecodeString(c.Nonce)
	if err != nil || len(nonce) != 16 || c.ActionMS != ActionTime.Milliseconds() || c.TotalMS != TotalTime.Milliseconds() || len(c.Actions) != asked+2 {
		return false
	}
	return c.Actions[0] == api.ActionStraight && c.Actions[asked+1] == api.ActionStraight &&
		slices.ContainsFunc(sequences, func(s []string) bool { return slices.Equal(s, c.Actions[1:asked+1]) })
}
