/* SPDX-License-Identifier: MIT
 *
 * Tells when something in a directory of route files may have changed: debounced, whatever way an editor saves, also
 * when the directory itself is replaced, or a link on the way to it, and where its files are links to others, have
 * other names, or are mounted. What has changed is the loader's to find out, by the bytes. */
#pragma once

#include "core/error.h"
#include "core/loop.h"

#include <stddef.h>

struct loading;
struct watcher;

enum {
  WATCHER_QUIET_MS = 50,    /* it is told so long after the last event … */
  WATCHER_LONGEST_MS = 250, /* … and at the latest so long after the first */
  WATCHER_RETRY_MS = 1000,  /* directories that could not be looked up for a disk's silence are when it is over */
};

typedef void watcher_changed_fn(void *context);

/* Watches `directory`, which need not exist yet, and the way to it. `on_changed` is called once without a
 * change, for what changed between the first load and the first watch. Directories are looked up by jobs of `loading`:
 * a disk that does not answer holds up a change no longer than a load. NULL: see `error` (inotify(7) has limits). */
struct watcher *watcher_new(struct loop *loop, struct loading *loading, const char *directory,
                            watcher_changed_fn *on_changed, void *context, struct error *error);
void watcher_free(struct watcher *watcher); /* NULL is nothing */

/* Further files (required modules, there or not) in place of those that were set before. With one that is watched and
 * was not before, `on_changed` is called: it may have changed meanwhile. */
void watcher_set_files(struct watcher *watcher, const char *const *files, size_t count);
