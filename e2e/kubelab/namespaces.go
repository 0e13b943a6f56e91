package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// enterNamespaces runs `up` as a child in network and mount namespaces of its own and passes signals on. The names that
// `ip netns` makes lie on a file system of that mount namespace, so they vanish with it.
func enterNamespaces() error {
	cmd := exec.Command("/proc/self/exe", append([]string{"up-inside"}, os.Args[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM, Setpgid: true}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot make namespaces (are you root?): %w", err)
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	return cmd.Wait()
}

// isolate finishes what the kernel did for the child: mounts stay here, and `ip netns` has a directory of its own.
func isolate() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts cannot be made private: %w", err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	return syscall.Mount("tmpfs", "/run/netns", "tmpfs", 0, "mode=755")
}

// execInside becomes a command inside the network of the lab in DIR.
func execInside() error {
	dir := flag.String("dir", "", "directory of a running lab")
	flag.Parse()
	if *dir == "" || flag.NArg() == 0 {
		return fmt.Errorf("usage: kubelab exec -dir DIR COMMAND…")
	}
	pid, err := os.ReadFile(filepath.Join(*dir, "pid"))
	if err != nil {
		return err
	}
	enter, err := exec.LookPath("nsenter")
	if err != nil {
		return err
	}
	config, err := filepath.Abs(filepath.Join(*dir, "kubeconfig"))
	if err != nil {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	args := append([]string{"nsenter", "--net", "--mount", "--wdns=" + here, "--target", strings.TrimSpace(string(pid)), "--"}, flag.Args()...)
	return syscall.Exec(enter, args, append(os.Environ(), "KUBECONFIG="+config))
}

func runAll(commands ...[]string) error {
	for _, c := range commands {
		if err := run(c...); err != nil {
			return err
		}
	}
	return nil
}

func run(command ...string) error {
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
