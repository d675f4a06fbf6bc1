package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

// userCmd is the operator's side of the local 1Kosmos. Every change needs a reason
// and is written down.
type userCmd struct {
	List    userListCmd    `cmd:"" help:"List the users, who of them is enrolled, and conflicts."`
	Disable userDisableCmd `cmd:"" help:"Switch a user off: no step-up any more."`
	Enable  userEnableCmd  `cmd:"" help:"Switch a user on again."`
	Clear   userClearCmd   `cmd:"" help:"Forget a user's enrolled face, which also ends an enrolment conflict."`
	Remove  userRemoveCmd  `cmd:"" help:"Remove a user altogether: name, enrolled face and keys. What was done stays on record."`
	Audit   userAuditCmd   `cmd:"" help:"Show what was done to a user, by whom and why."`
}

type userFlags struct {
	Config string `required:"" type:"existingfile" short:"c" help:"Configuration of the local 1Kosmos (JSON); demo writes kosmos.json."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

type userChange struct {
	User   string `arg:"" help:"The username, which is the user_identifier of the verification."`
	Reason string `required:"" placeholder:"TEXT" help:"Why; for the record."`
	userFlags
}

type (
	userListCmd    struct{ userFlags }
	userDisableCmd struct{ userChange }
	userEnableCmd  struct{ userChange }
	userClearCmd   struct{ userChange }
	userRemoveCmd  struct{ userChange }
	userAuditCmd   struct {
		User string `arg:"" help:"The username."`
		userFlags
	}
)

func (f *userFlags) directory(ctx context.Context, do func(*kosmos.Directory) error) error {
	k, err := readKosmosConfig(f.Config)
	if err != nil {
		return err
	}
	d, err := kosmos.OpenDirectory(ctx, k.Data, time.Now)
	if err != nil {
		return err
	}
	defer d.Close()
	err = do(d)
	switch {
	case errors.Is(err, kosmos.ErrNoUser):
		return &exit{status: 1, err: hint(errors.New("no such user"), "see them with sandbox user list")}
	case errors.Is(err, kosmos.ErrNotEnrolled):
		return &exit{status: 1, err: errors.New("this user has no enrolled face")}
	case errors.Is(err, kosmos.ErrSeeded):
		return &exit{status: 1, err: hint(errors.New("this user belongs to the records of the tenant and would be back with the next start"),
			"sandbox user clear forgets the enrolled face, sandbox user disable switches the user off")}
	}
	return err
}

func (c *userChange) change(ctx context.Context, s *streams, done string, do func(*kosmos.Directory) error) error {
	return c.directory(ctx, func(d *kosmos.Directory) error {
		if err := do(d); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, map[string]string{"user": c.User, "done": done})
		}
		_, err := fmt.Fprintf(s.out, "%s: %s.\n", c.User, done)
		return err
	})
}

func (c *userDisableCmd) Run(ctx context.Context, s *streams) error {
	return c.change(ctx, s, "disabled", func(d *kosmos.Directory) error { return d.SetDisabled(ctx, c.User, true, c.Reason) })
}

func (c *userEnableCmd) Run(ctx context.Context, s *streams) error {
	return c.change(ctx, s, "enabled", func(d *kosmos.Directory) error { return d.SetDisabled(ctx, c.User, false, c.Reason) })
}

func (c *userClearCmd) Run(ctx context.Context, s *streams) error {
	return c.change(ctx, s, "enrolment cleared", func(d *kosmos.Directory) error { return d.ClearEnrolment(ctx, c.User, c.Reason) })
}

func (c *userRemoveCmd) Run(ctx context.Context, s *streams) error {
	return c.change(ctx, s, "removed", func(d *kosmos.Directory) error { return d.Remove(ctx, c.User, c.Reason) })
}

func (c *userListCmd) Run(ctx context.Context, s *streams) error {
	return c.directory(ctx, func(d *kosmos.Directory) error {
		users, err := d.Users(ctx)
		if err != nil {
			return err
		}
		slices.SortFunc(users, func(a, b kosmos.UserInfo) int { return cmp.Compare(a.Username, b.Username) })
		if c.JSON {
			return printJSON(s.out, users)
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "USER\tENROLLED\tSINCE\tDISABLED\tCONFLICTS")
		for _, u := range users {
			since := ""
			if u.Enrolled {
				since = u.Updated.UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", u.Username, yes(u.Enrolled), since, yes(u.Disabled), u.Conflicts)
		}
		return w.Flush()
	})
}

func (c *userAuditCmd) Run(ctx context.Context, s *streams) error {
	return c.directory(ctx, func(d *kosmos.Directory) error {
		records, err := d.Audit(ctx, c.User)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, records)
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "WHEN\tWHO\tWHAT\tWHY")
		for _, r := range records {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.At.UTC().Format(time.RFC3339), r.Actor, r.Action, r.Reason)
		}
		return w.Flush()
	})
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
