package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow/shipped"
)

type flowsCmd struct {
	Build flowsBuildCmd `cmd:"" help:"Write the flow documents that a customer imports into Descope, and their pictures."`
	List  flowsListCmd  `cmd:"" help:"List the flows."`
}

const (
	flowsFolder    = "integrations/flows"
	picturesFolder = "docs/images"
)

type flowsBuildCmd struct {
	Out   string `type:"path" placeholder:"DIR" help:"Folder for the documents alone. Without it: integrations/flows, and the pictures in docs/images, below the current folder."`
	Names string `type:"existingfile" placeholder:"FILE" help:"Names in Descope's documents, like internal/descope/flow/names.yaml, as a live project has shown them (default: those built in)."`
	Check bool   `help:"Write nothing; name the files that would change."`
}

// Help is shown under the command's flags.
func (flowsBuildCmd) Help() string {
	return `Names that nobody outside Descope has seen written down are guesses until you import a
flow. Correct them in a copy of names.yaml, build with --names, and import again.

Exit status: 0 written, or with --check in step; 1 with --check, files differ; 2 error.`
}

func (c *flowsBuildCmd) Run(s *streams) error {
	names := flow.DefaultNames()
	if c.Names != "" {
		var err error
		if names, err = flow.ReadNames(c.Names); err != nil {
			return err
		}
	}
	documents, pictures := flowsFolder, picturesFolder
	if c.Out != "" {
		documents, pictures = c.Out, ""
	}
	files, err := shipped.Files(names, documents, pictures)
	if err != nil {
		return err
	}
	if !c.Check {
		if err := shipped.Write(files); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%d files written\n", len(files))
		return nil
	}
	differ, err := shipped.Differ(files)
	if err != nil {
		return err
	}
	for _, d := range differ {
		fmt.Fprintln(s.out, d)
	}
	if len(differ) > 0 {
		return hint(&exit{1, fmt.Errorf("%d of the flows' files are not what the program makes", len(differ))}, "kosmoscope flows build writes them")
	}
	return nil
}

type flowsListCmd struct{}

func (*flowsListCmd) Run(s *streams) error {
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	for _, f := range shipped.Flows(flow.DefaultNames()) {
		fmt.Fprintf(w, "%s\t%s\n", f.FlowID, f.Metadata.Description)
	}
	return w.Flush()
}
