package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	poweredBy := os.Getenv("POWERED_BY")
	if poweredBy == "" {
		poweredBy = "paas"
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello from %s %s %s\n", poweredBy, os.Getenv("HEROKU_RELEASE_VERSION"), os.Getenv("DYNO"))
	})
	server := &http.Server{Addr: ":" + os.Getenv("PORT")}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	go func() {
		if err := server.ListenAndServe(); err != http.ErrServerClosed {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}()
	<-stop.Done()
	server.Shutdown(context.Background())
}
