package journal

import (
	"context"
	"encoding/json"
	"fmt"
)

// StepDown asks the log's leader to give way to another replica. A log without
// replicas refuses.
func (j *Journal) StepDown(ctx context.Context) error {
	msg, err := j.cfg.Conn.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+j.cfg.Stream, nil)
	if err != nil {
		return fmt.Errorf("ask for another leader of the log %s: %w", j.cfg.Stream, err)
	}
	var answer struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return fmt.Errorf("ask for another leader of the log %s: %w", j.cfg.Stream, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("ask for another leader of the log %s: %s", j.cfg.Stream, answer.Error.Description)
	}
	return nil
}

// Absent are the servers that should have a replica and that the leader does not
// hear of, as Bounds was told last.
func (j *Journal) Absent() []string {
	if names := j.absent.Load(); names != nil {
		return *names
	}
	return nil
}
