package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// directives are the lines of a unit file by section and name.
func directives(t *testing.T, text string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, is := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case is && section != "":
			found[section+"."+name] = append(found[section+"."+name], value)
		default:
			t.Errorf("%q is no line of a unit file", line)
		}
	}
	return found
}

// variables are those of an environment file; secrets are filled in.
func variables(text string) map[string]string {
	env := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, is := strings.Cut(strings.TrimSpace(line), "="); is && !strings.HasPrefix(name, "#") {
			if value == "" {
				value = secretFor(name)
			}
			env[name] = value
		}
	}
	return env
}

func TestSystemd(t *testing.T) {
	unit := directives(t, read(t, "systemd/fanfare.service"))
	one := func(name string) string {
		if len(unit[name]) != 1 {
			t.Fatalf("%s: %q", name, unit[name])
		}
		return unit[name][0]
	}
	command := strings.Fields(one("Service.ExecStart"))
	n := node{
		args: command[1:], env: variables(read(t, "systemd/secrets.env")),
		files: map[string]string{"/etc/fanfare/fanfare.yaml": read(t, "systemd/fanfare.yaml")},
	}
	settings := n.check(t)
	if settings.text("data_dir") != "/var/lib/"+one("Service.StateDirectory") {
		t.Errorf("data_dir is %q", settings.text("data_dir"))
	}
	n.env["FANFARE_CLUSTER_ADVERTISE"] = n.env["FANFARE_CLUSTER_LISTEN"]
	isMember(t, n.check(t), "n1", "10.0.0.1:8020")
	longer(t, settings, one("Service.TimeoutStopSec"))

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not here: the unit was read, and not verified")
		return
	}
	// Its program has to be there to be verified.
	text := strings.ReplaceAll(read(t, "systemd/fanfare.service"), command[0], bin)
	file := filepath.Join(t.TempDir(), "fanfare.service")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", file).CombinedOutput()
	if err != nil || strings.Contains(string(out), "fanfare.service:") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// longer checks that a supervisor waits for longer than a stop takes.
func longer(t *testing.T, settings tree, patience string) {
	t.Helper()
	if _, err := strconv.Atoi(patience); err == nil {
		patience += "s"
	}
	waits, err := time.ParseDuration(patience)
	if err != nil {
		t.Fatal(err)
	}
	stop, err := time.ParseDuration(settings.text("shutdown_timeout"))
	if err != nil || waits <= stop {
		t.Errorf("who stops the node waits for %v, and its stop may take %v (%v)", waits, stop, err)
	}
}

// instructions are those of the last stage of a Dockerfile.
func instructions(t *testing.T, text string) map[string][]string {
	t.Helper()
	known := []string{"FROM", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
	found := map[string][]string{}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "" || name[0] == '#':
			continue
		case !slices.Contains(known, name):
			t.Errorf("%q is no instruction", name)
		case name == "FROM":
			found = map[string][]string{}
		}
		found[name] = append(found[name], rest)
	}
	return found
}

// words are those of an instruction in the form of a JSON list.
func words(t *testing.T, list []string) (all []string) {
	t.Helper()
	if len(list) != 1 {
		t.Fatalf("%q", list)
	}
	for _, w := range parse(t, "words: "+list[0]).list("words") {
		all = append(all, w.(string)) //nolint:forcetypeassert // or the test has found something
	}
	return all
}

func TestDocker(t *testing.T) {
	text := read(t, "docker/Dockerfile")
	image := instructions(t, text)
	if got := words(t, image["ENTRYPOINT"]); !slices.Equal(got, []string{"/fanfare"}) {
		t.Errorf("it runs %q", got)
	}
	mod, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(mod), "\ngo ")
	version := strings.SplitN(after, ".", 3)
	if want := "FROM golang:" + version[0] + "." + version[1] + " AS build"; !strings.Contains(text, want) {
		t.Errorf("go.mod wants %s", want)
	}
	args := words(t, image["CMD"])

	file := parse(t, read(t, "docker/compose.yaml"))
	services := file.group("services")
	if len(services) != 3 {
		t.Fatalf("services: %q", sorted(services))
	}
	for _, name := range sorted(services) {
		service := services.group(name)
		n := node{args: args, env: map[string]string{}}
		for variable := range service.group("environment") {
			n.env[variable] = fill(service.text("environment", variable))
		}
		settings := n.check(t)
		isMember(t, settings, name, name+":8020")
		longer(t, settings, service.text("stop_grace_period"))
		if got := service.text("volumes", 0); got != name+":"+settings.text("data_dir") || len(image["VOLUME"]) != 1 || image["VOLUME"][0] != settings.text("data_dir") {
			t.Errorf("%s: data is in %s, volume %q of %q", name, settings.text("data_dir"), got, image["VOLUME"])
		}
		if _, port, _ := strings.Cut(service.text("ports", 0), ":"); ":"+port != settings.text("listen") {
			t.Errorf("%s: ports %q, listens on %q", name, service.text("ports", 0), settings.text("listen"))
		}
		if _, is := file.group("volumes")[name]; !is {
			t.Errorf("there is no volume %s", name)
		}
	}
}

func TestKubernetes(t *testing.T) {
	objects := map[string]tree{}
	for text := range strings.SplitSeq(read(t, "kubernetes/fanfare.yaml"), "\n---\n") {
		object := parse(t, text)
		if object.text("apiVersion") == "" || object.text("metadata", "name") == "" {
			t.Errorf("no object: %.100s", text)
		}
		objects[object.text("kind")+" "+object.text("metadata", "name")] = object
	}
	set, service, nodes := objects["StatefulSet fanfare"], objects["Service fanfare"], objects["Service fanfare-nodes"]
	budget, settings := objects["PodDisruptionBudget fanfare"], objects["ConfigMap fanfare"]
	if len(objects) != 5 || set == nil || service == nil || nodes == nil || budget == nil || settings == nil {
		t.Fatalf("%d objects", len(objects))
	}
	pod := set.group("spec", "template", "spec")
	container := tree(pod.list("containers")[0].(map[string]any)) //nolint:forcetypeassert // or the test has found something
	label := set.text("spec", "template", "metadata", "labels", "app")
	for name, got := range map[string]string{
		"StatefulSet": set.text("spec", "selector", "matchLabels", "app"), "Service": service.text("spec", "selector", "app"),
		"headless Service": nodes.text("spec", "selector", "app"), "PodDisruptionBudget": budget.text("spec", "selector", "matchLabels", "app"),
	} {
		if got != label || label == "" {
			t.Errorf("%s selects %q, pods are %q", name, got, label)
		}
	}
	if nodes.text("spec", "clusterIP") != "None" || nodes.text("spec", "publishNotReadyAddresses") != "true" ||
		set.text("spec", "serviceName") != "fanfare-nodes" || set.text("spec", "podManagementPolicy") != "Parallel" {
		t.Error("nodes do not find each other before they are ready")
	}
	if budget.text("spec", "maxUnavailable") != "1" || set.text("spec", "replicas") != "3" {
		t.Error("a majority may be away")
	}
	for i := range 3 {
		name := "fanfare-" + strconv.Itoa(i)
		n := node{env: podEnvironment(t, container, name), files: map[string]string{}}
		for _, arg := range container.list("args") {
			n.args = append(n.args, arg.(string)) //nolint:forcetypeassert // as above
		}
		mounts := map[string]string{}
		for j := range container.list("volumeMounts") {
			mounts[container.text("volumeMounts", j, "name")] = container.text("volumeMounts", j, "mountPath")
		}
		for file := range settings.group("data") {
			n.files[mounts["config"]+"/"+file] = settings.text("data", file)
		}
		got := n.check(t)
		isMember(t, got, name, name+".fanfare-nodes:8020")
		longer(t, got, pod.text("terminationGracePeriodSeconds"))
		ports := map[string]string{}
		for j := range container.list("ports") {
			ports[container.text("ports", j, "name")] = ":" + container.text("ports", j, "containerPort")
		}
		if mounts["data"] != got.text("data_dir") || set.text("spec", "volumeClaimTemplates", 0, "metadata", "name") != "data" {
			t.Errorf("data is in %q, mounts are %q", got.text("data_dir"), mounts)
		}
		if ports["http"] != got.text("listen") || ports["nodes"] != got.text("cluster", "listen") ||
			service.text("spec", "ports", 0, "targetPort") != "http" || nodes.text("spec", "ports", 0, "targetPort") != "nodes" {
			t.Errorf("ports are %q, it listens on %q and %q", ports, got.text("listen"), got.text("cluster", "listen"))
		}
	}
	if container.text("readinessProbe", "httpGet", "path") != "/ready" || container.text("livenessProbe", "httpGet", "path") != "/health" {
		t.Error("the probes ask something else")
	}
}

// podEnvironment is that of the container in the pod of a name.
func podEnvironment(t *testing.T, container tree, pod string) map[string]string {
	t.Helper()
	env := map[string]string{}
	for i := range container.list("env") {
		name, value := container.text("env", i, "name"), container.text("env", i, "value")
		switch {
		case container.text("env", i, "valueFrom", "fieldRef", "fieldPath") == "metadata.name":
			value = pod
		case container.text("env", i, "valueFrom", "secretKeyRef", "name") == "fanfare":
			value = secretFor(name)
		case value == "":
			t.Errorf("%s is not set", name)
		}
		for known, is := range env {
			value = strings.ReplaceAll(value, "$("+known+")", is)
		}
		env[name] = value
	}
	return env
}
