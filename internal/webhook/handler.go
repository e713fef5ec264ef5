package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"cambio/internal/kubernetes"
)

// Path is where the API server posts its reviews.
const Path = "/mutate-v1-pod"

// mostBytes bounds a review: a pod, twice, as large as etcd takes it.
const mostBytes = 4 << 20

// Webhook answers admission reviews.
type Webhook struct {
	Settings Settings
	Cluster  *kubernetes.Client
	Log      *slog.Logger
	reviews  *prometheus.CounterVec
	registry *prometheus.Registry
}

// New makes a webhook that reads service accounts with the client.
func New(s Settings, cluster *kubernetes.Client, log *slog.Logger) *Webhook {
	w := &Webhook{Settings: s, Cluster: cluster, Log: log, registry: prometheus.NewRegistry(),
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cambio_webhook_reviews_total", Help: "Admission reviews by outcome: mutated, unchanged, denied, invalid.",
		}, []string{"outcome"})}
	w.registry.MustRegister(w.reviews)
	return w
}

// review is the part of an AdmissionReview (admission.k8s.io/v1) that is read.
type review struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Request    *struct {
		UID       string         `json:"uid"`
		Namespace string         `json:"namespace"`
		Object    jsontext.Value `json:"object"`
	} `json:"request"`
}

type answer struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Response   response `json:"response"`
}

type response struct {
	UID       string  `json:"uid"`
	Allowed   bool    `json:"allowed"`
	PatchType string  `json:"patchType,omitempty"`
	Patch     []byte  `json:"patch,omitempty"` // base64 in JSON
	Status    *status `json:"status,omitempty"`
}

type status struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Handler answers at Path only.
func (w *Webhook) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Path, w.serve)
	return mux
}

// OperationsHandler answers /healthz, /readyz and /metrics. It is ready while
// the API server answers.
func (w *Webhook) OperationsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, "ok\n") })
	mux.HandleFunc("GET /readyz", func(out http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		var version jsontext.Value
		if err := w.Cluster.Get(ctx, &version, "version"); err != nil {
			w.Log.Warn("not ready", "error", err)
			http.Error(out, "the API server does not answer", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(out, "ok\n")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(w.registry, promhttp.HandlerOpts{}))
	return mux
}

func (w *Webhook) serve(out http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(out, r.Body, mostBytes))
	if err != nil {
		w.invalid(out, "the review cannot be read, or is larger than 4 MiB")
		return
	}
	var in review
	if err := json.Unmarshal(body, &in); err != nil || in.APIVersion != "admission.k8s.io/v1" || in.Kind != "AdmissionReview" || in.Request == nil {
		w.invalid(out, "the body must be an AdmissionReview of admission.k8s.io/v1 with a request")
		return
	}
	patch, err := w.decide(r.Context(), in)
	result := response{UID: in.Request.UID, Allowed: err == nil}
	outcome := "unchanged"
	if err == nil && len(patch) > 0 {
		outcome = "mutated"
		result.PatchType = "JSONPatch"
		result.Patch, err = json.Marshal(patch)
	}
	if err != nil {
		outcome = "denied"
		result = response{UID: in.Request.UID, Status: &status{http.StatusBadRequest, "cambio webhook: " + err.Error()}}
		w.Log.Warn("pod denied", "namespace", in.Request.Namespace, "error", err)
	}
	w.reviews.WithLabelValues(outcome).Inc()
	out.Header().Set("Content-Type", "application/json")
	if err := json.MarshalWrite(out, answer{in.APIVersion, in.Kind, result}); err != nil {
		w.Log.Warn("the answer could not be sent", "error", err)
	}
}

func (w *Webhook) invalid(out http.ResponseWriter, text string) {
	w.reviews.WithLabelValues("invalid").Inc()
	http.Error(out, text, http.StatusBadRequest)
}

// decide returns the patch. A pod without the label is left alone, should the
// webhook's configuration select it.
func (w *Webhook) decide(ctx context.Context, in review) ([]Operation, error) {
	var pod kubernetes.Pod
	if err := json.Unmarshal(in.Request.Object, &pod); err != nil {
		return nil, errors.New("the object of the review is not a pod")
	}
	if pod.Metadata.Labels[UseLabel] != "true" {
		return nil, nil
	}
	name := accountOf(pod)
	var account kubernetes.Object
	err := w.Cluster.Get(ctx, &account, "api", "v1", "namespaces", in.Request.Namespace, "serviceaccounts", name)
	if kubernetes.IsNotFound(err) {
		return nil, fmt.Errorf("there is no service account %s in namespace %s", name, in.Request.Namespace)
	}
	if err != nil {
		w.Log.Error("a service account cannot be read", "namespace", in.Request.Namespace, "name", name, "error", err)
		return nil, fmt.Errorf("the service account %s/%s cannot be read; the webhook's log says why", in.Request.Namespace, name)
	}
	return w.Settings.Mutate(pod, account.Metadata.Annotations)
}

// accountOf is the name of a pod's service account.
func accountOf(pod kubernetes.Pod) string {
	if pod.Spec.ServiceAccountName == "" {
		return "default"
	}
	return pod.Spec.ServiceAccountName
}
