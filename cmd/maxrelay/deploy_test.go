package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// dashboardQueries are the expressions of all panels.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	raw, err := os.ReadFile("../../deploy/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, target.Expr)
		}
	}
	return queries
}

func alertQueries(t *testing.T) (queries []string) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	raw, err := os.ReadFile("../../deploy/prometheus-rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || rule.Expr == "" {
				t.Errorf("a rule has no name or no expression: %+v", rule)
			}
			queries = append(queries, rule.Expr)
		}
	}
	return queries
}

var (
	grouping   = regexp.MustCompile(`\b(by|without)\s*\([^)]*\)`)
	matchers   = regexp.MustCompile(`\{([^}]*)\}`)
	metricName = regexp.MustCompile(`\b[a-z]+(_[a-z]+)+\b`)
	label      = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
)

// namesIn returns what a query asks for: metrics, and the labels that it selects by.
func namesIn(query string) (metrics, labels []string) {
	for _, m := range matchers.FindAllStringSubmatch(query, -1) {
		for _, l := range label.FindAllStringSubmatch(m[1], -1) {
			labels = append(labels, l[1])
		}
	}
	plain := matchers.ReplaceAllString(grouping.ReplaceAllString(query, ""), "")
	for _, name := range metricName.FindAllString(plain, -1) {
		if name != "histogram_quantile" {
			metrics = append(metrics, name)
		}
	}
	return metrics, labels
}

func TestDashboardAndAlertsAskForMetricsThereAre(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start("serve", servesHTTP, scriptedCLI, "serve", "--set", "rate_limit.max_tokens_per_day=1000000")
	_, text := scrape(t, p.url)
	queries := append(dashboardQueries(t), alertQueries(t)...)
	if len(queries) < 30 {
		t.Errorf("only %d queries", len(queries))
	}
	for _, query := range queries {
		metrics, labels := namesIn(query)
		if len(metrics) == 0 {
			t.Errorf("%s asks for nothing", query)
		}
		for _, name := range metrics {
			if !strings.Contains(text, "\n"+name+"{") && !strings.Contains(text, "\n"+name+" ") {
				t.Errorf("%s: there is no series of %s", query, name)
			}
		}
		for _, name := range labels {
			if !strings.Contains(text, name+`="`) {
				t.Errorf("%s: no series has the label %s", query, name)
			}
		}
	}
	p.stop()
}
