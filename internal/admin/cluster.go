package admin

import (
	"net/http"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// cluster answers GET /admin/cluster with an engine.Overview; of a node that is
// alone it has no name and no nodes.
func (a *Handler) cluster(w http.ResponseWriter, r *http.Request) {
	if a.cfg.Cluster == "" {
		writeJSON(w, http.StatusOK, engine.Overview{Nodes: []engine.NodeOverview{}})
		return
	}
	select {
	case a.surveying <- struct{}{}:
		defer func() { <-a.surveying }()
	case <-r.Context().Done():
		return
	}
	o, err := a.cfg.Overview(r.Context())
	if err != nil {
		a.log.Warn("the page is not shown the other nodes", "error", err)
		writeError(w, http.StatusServiceUnavailable, "the other nodes cannot be asked")
		return
	}
	writeJSON(w, http.StatusOK, &o)
}
