"""One file per breaker, each with one public class; `serve.breaker.load` imports a file when asked for it."""
