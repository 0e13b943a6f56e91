package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (r *podRunner) envValue(ctx context.Context, pod *corev1.Pod, e corev1.EnvVar, p *runningPod) (string, error) {
	from := e.ValueFrom
	switch {
	case from == nil:
		return e.Value, nil
	case from.FieldRef != nil:
		switch from.FieldRef.FieldPath {
		case "metadata.name":
			return pod.Name, nil
		case "metadata.namespace":
			return pod.Namespace, nil
		case "metadata.uid":
			return string(pod.UID), nil
		case "status.podIP", "status.hostIP":
			return p.addr.String(), nil
		case "spec.nodeName":
			return nodeName, nil
		case "spec.serviceAccountName":
			return pod.Spec.ServiceAccountName, nil
		}
		return "", fmt.Errorf("env %s: fieldPath %s is not supported", e.Name, from.FieldRef.FieldPath)
	case from.SecretKeyRef != nil:
		s, err := r.client.CoreV1().Secrets(pod.Namespace).Get(ctx, from.SecretKeyRef.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return string(s.Data[from.SecretKeyRef.Key]), nil
	case from.ConfigMapKeyRef != nil:
		m, err := r.client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, from.ConfigMapKeyRef.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return m.Data[from.ConfigMapKeyRef.Key], nil
	}
	return "", fmt.Errorf("env %s: source is not supported", e.Name)
}

func (r *podRunner) writeVolume(ctx context.Context, pod *corev1.Pod, v corev1.Volume, at string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	namespace := pod.Namespace
	files := map[string][]byte{}
	var items []corev1.KeyToPath
	switch {
	case v.Secret != nil:
		s, err := r.client.CoreV1().Secrets(namespace).Get(ctx, v.Secret.SecretName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		files, items = s.Data, v.Secret.Items
	case v.ConfigMap != nil:
		m, err := r.client.CoreV1().ConfigMaps(namespace).Get(ctx, v.ConfigMap.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for k, text := range m.Data {
			files[k] = []byte(text)
		}
		items = v.ConfigMap.Items
	case v.EmptyDir != nil:
		return os.Chmod(at, 0o777)
	case v.HostPath != nil:
		return nil
	case v.Projected != nil:
		return r.writeProjected(ctx, pod, v.Projected.Sources, at)
	default:
		return fmt.Errorf("kind of volume is not supported")
	}
	if len(items) > 0 {
		chosen := map[string][]byte{}
		for _, i := range items {
			chosen[i.Path] = files[i.Key]
		}
		files = chosen
	}
	return writeFiles(at, files)
}

// writeProjected serves what the API server adds to every pod: the service account's token, the cluster's CA, the namespace.
func (r *podRunner) writeProjected(ctx context.Context, pod *corev1.Pod, sources []corev1.VolumeProjection, at string) error {
	files := map[string][]byte{}
	for _, s := range sources {
		switch {
		case s.ServiceAccountToken != nil:
			request := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{ExpirationSeconds: s.ServiceAccountToken.ExpirationSeconds}}
			if s.ServiceAccountToken.Audience != "" {
				request.Spec.Audiences = []string{s.ServiceAccountToken.Audience}
			}
			token, err := r.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
			if err != nil {
				return err
			}
			files[s.ServiceAccountToken.Path] = []byte(token.Status.Token)
		case s.ConfigMap != nil:
			m, err := r.client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, s.ConfigMap.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, i := range s.ConfigMap.Items {
				files[i.Path] = []byte(m.Data[i.Key])
			}
		case s.Secret != nil:
			m, err := r.client.CoreV1().Secrets(pod.Namespace).Get(ctx, s.Secret.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, i := range s.Secret.Items {
				files[i.Path] = m.Data[i.Key]
			}
		case s.DownwardAPI != nil:
			for _, i := range s.DownwardAPI.Items {
				if i.FieldRef != nil && i.FieldRef.FieldPath == "metadata.namespace" {
					files[i.Path] = []byte(pod.Namespace)
				}
			}
		}
	}
	return writeFiles(at, files)
}

func writeFiles(at string, files map[string][]byte) error {
	for name, data := range files {
		to := filepath.Join(at, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
