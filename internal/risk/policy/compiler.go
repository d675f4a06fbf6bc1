package policy

import (
	"sync"

	"github.com/kosmoscope/kosmoscope/internal/risk/signal"
)

// Compiler checks and compiles policies over a set of signals. The zero value knows
// those of this program (signal.All). It is safe for concurrent use and must not be
// copied after its first use.
type Compiler struct {
	Signals []signal.Signal

	once    sync.Once
	signals map[string]*signal.Signal
	order   []string
	lang    func() (*language, error)
}

var standard Compiler

// Check is Compiler.Check over the signals of this program.
func (d *Document) Check() []Problem { return standard.Check(d) }

// Compile is Compiler.Compile over the signals of this program.
func Compile(d *Document) (*Policy, error) { return standard.Compile(d) }

func (c *Compiler) init() {
	c.once.Do(func() {
		list := c.Signals
		if list == nil {
			list = signal.All()
		}
		c.signals = make(map[string]*signal.Signal, len(list))
		for i := range list {
			c.signals[list[i].Name] = &list[i]
			c.order = append(c.order, list[i].Name)
		}
		c.lang = sync.OnceValues(func() (*language, error) { return newLanguage(c.order) })
	})
}

// InvalidError says that a document cannot be compiled, and all that is wrong with it.
type InvalidError struct{ Problems []Problem }

func (e *InvalidError) Error() string {
	text := "policy: " + e.Problems[0].Message
	if n := e.Problems[0].Node; n != "" {
		text = "policy: node " + n + ": " + e.Problems[0].Message
	}
	if len(e.Problems) > 1 {
		text += " (and more)"
	}
	return text
}
