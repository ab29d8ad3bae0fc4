//! Conservation: reconciles independent lists of runs, files and objects.
