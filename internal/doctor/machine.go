package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/config"
)

// Machine is what rules ask of the machine that the server runs on.
type Machine interface {
	// Mode is that of a file or directory.
	Mode(path string) (fs.FileMode, error)
	// Volatile reports that what is kept there is gone after a restart of the machine.
	Volatile(path string) bool
	// Descriptors is how many files and connections a process may have open.
	Descriptors() (n int, known bool)
}

// Here is the machine that the program runs on.
type Here struct{}

// Mode implements Machine.
func (Here) Mode(path string) (fs.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

// openTo are the bits of a mode for others: to read, or to write.
const (
	readByOthers  fs.FileMode = 0o004
	writeByOthers fs.FileMode = 0o002
)

func openDataDir(c *config.Config, m Machine, add report) {
	mode, err := m.Mode(c.DataDir)
	switch {
	case err != nil: // it will be made, for its owner alone
	case mode&writeByOthers != 0:
		add(Error, "data_dir", fmt.Sprintf("everybody on the machine can change history (mode %#o)", mode.Perm()), "chmod 700, and let it belong to the server's user")
	case mode&readByOthers != 0:
		add(Warning, "data_dir", fmt.Sprintf("everybody on the machine can read history (mode %#o)", mode.Perm()), "chmod 700, and let it belong to the server's user")
	}
}

func volatileDataDir(c *config.Config, m Machine, add report) {
	if !m.Volatile(c.DataDir) {
		return
	}
	kept := false
	eachNamespace(c, func(_, _ string, o *channel.Options) {
		kept = kept || o.HasHistory() && o.Durability() == channel.Disk
	})
	if kept && !c.Dev {
		add(Error, "data_dir", "is in memory (tmpfs), and there are namespaces with history on disk: it is gone after a restart of the machine", "choose a directory on a disk")
	} else {
		add(Note, "data_dir", "is in memory (tmpfs): history is gone after a restart of the machine", "choose a directory on a disk")
	}
}

// openKeyFiles looks at files that hold what only the server should know.
func openKeyFiles(c *config.Config, m Machine, add report) {
	check := func(setting, path string) {
		if mode, err := m.Mode(path); err == nil && mode&(readByOthers|writeByOthers) != 0 {
			add(Error, setting, fmt.Sprintf("everybody on the machine can read or change %q (mode %#o)", path, mode.Perm()), "chmod 600, and make a new key: this one may be known")
		}
	}
	for _, file := range []struct{ setting, path string }{
		{"tls.key_file", c.TLS.KeyFile},
		{"internal.key_file", c.Internal.KeyFile},
		{"admin.password_file", c.Admin.PasswordFile},
	} {
		if file.path != "" {
			check(file.setting, file.path)
		}
	}
	for _, entry := range c.Tokens.SecretFiles {
		path := entry
		if id, file, named := strings.Cut(entry, "="); named && !strings.ContainsAny(id, `/\`) {
			path = file
		}
		check("tokens.secret_files", path)
	}
}

func openAuditFile(c *config.Config, m Machine, add report) {
	if c.Audit.File == "" {
		return
	}
	if mode, err := m.Mode(c.Audit.File); err == nil && mode&(readByOthers|writeByOthers) != 0 {
		add(Warning, "audit.file", fmt.Sprintf("everybody on the machine can read or change it (mode %#o)", mode.Perm()), "chmod 600")
	}
}

// fewConnections is what a server with the system's limits should bear at least.
const fewConnections = 4096

func fewDescriptors(c *config.Config, m Machine, add report) {
	limit, known := m.Descriptors()
	switch {
	case !known:
	case c.Client.MaxConnections > limit:
		add(Error, "client.max_connections", fmt.Sprintf("is %d, and the system allows %d open files: connections are refused before", c.Client.MaxConnections, limit),
			"raise the limit (LimitNOFILE= of systemd, ulimit -n), or lower the setting")
	case c.Client.MaxConnections == 0 && limit < fewConnections:
		add(Warning, "client.max_connections", fmt.Sprintf("is what the system allows, and that is %d open files", limit), "raise the limit (LimitNOFILE= of systemd, ulimit -n)")
	}
}
