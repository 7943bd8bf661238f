package main

import (
	"context"
	"fmt"
	"os/exec"
)

// diskSize is enough for what a run stores on a node.
const diskSize = "1500m"

// smallDisk mounts a filesystem in RAM at dir, until unmount.
func smallDisk(ctx context.Context, dir string) (unmount func() error, err error) {
	out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "size="+diskSize, "fanfare-audit", dir).CombinedOutput()
	if err != nil {
		return func() error { return nil }, fmt.Errorf("mount: %w: %s", err, out)
	}
	return func() error {
		// The run may have ended, the mount must not outlive it.
		out, err := exec.CommandContext(context.WithoutCancel(ctx), "umount", dir).CombinedOutput()
		if err != nil {
			return fmt.Errorf("umount: %w: %s", err, out)
		}
		return nil
	}, nil
}
