/* SPDX-License-Identifier: MIT
 *
 * Files that were there at the last load and are not now. A directory that is made anew, an editor or rsync at work
 * leave a moment in which one is gone and about to come back: so it is served for a while yet, unless another file has
 * what it had. */
#include "loading/load_private.h"

#include "core/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t vanished_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void loader_keep_vanished(struct loader *loader, uint64_t ms) { loader->vanished_for_ms = ms; }

/* Never 0, which is no hash of a set. */
static uint64_t hash_of_bytes(const struct file_version *good) {
  uint64_t hash = text_hash(&good->size, sizeof good->size, good->hash);
  return hash ? hash : 1;
}

/* What files say that are new or have changed: the names of their routes, and the bytes of new ones. 0 or -ENOMEM. */
static int collect_new(const struct load_run *run, struct hash_set *said) {
  const struct loaded_routes *loaded = run->loaded;
  size_t count = 0;
  for (size_t i = 0; i < loaded->file_count; i++)
    if (loaded->files[i].good && !loaded->files[i].same)
      count += loaded->files[i].good->claims.name_count + 1;
  int status = hash_set_init(said, count);
  for (size_t i = 0; i < loaded->file_count && status == 0; i++) {
    const struct file_version *good = loaded->files[i].good;
    if (!good || loaded->files[i].same)
      continue;
    uint64_t bytes = hash_of_bytes(good);
    hash_set_enter(said, good->claims.names, good->claims.name_count);
    if (!memory_find(&run->loader->memory, good->file)->committed)
      hash_set_enter(said, &bytes, 1);
  }
  return status;
}

static bool is_said(const struct hash_set *said, const struct file_version *good) {
  uint64_t bytes = hash_of_bytes(good);
  return hash_set_has_any(said, &bytes, 1) || hash_set_has_any(said, good->claims.names, good->claims.name_count);
}

/* Is it still served? Then for how long: the shortest of all is the load's. */
static bool is_kept_vanished(struct load_run *run, struct file_memory *memory, const struct hash_set *said,
                             uint64_t now) {
  uint64_t most = run->loader->vanished_for_ms;
  if (memory->vanished_ms == 0)
    memory->vanished_ms = now;
  uint64_t since = now - memory->vanished_ms;
  if (since >= most || is_said(said, memory->committed))
    return false;
  if (run->loaded->vanished_ms == 0 || most - since < run->loaded->vanished_ms)
    run->loaded->vanished_ms = most - since;
  return true;
}

/* As it is live. 0 or -ENOMEM. */
static int add_vanished(struct load_run *run, struct loaded_file *file, struct file_version *good) {
  *file = (struct loaded_file){.ok = true, .same = true, .vanished = true};
  file->file = strdup(good->file);
  file->path = path_join(run->config->routes, good->file);
  loaded_file_serve(file, file_version_ref(good));
  return file->file && file->path ? 0 : -ENOMEM;
}

/* Both lists are in the order of names: so is what comes of them, in `files`. 0 or -ENOMEM. */
static int merge_vanished(struct load_run *run, const struct hash_set *said, struct loaded_file *files, size_t *count) {
  const struct memory *memory = &run->loader->memory;
  const struct loaded_routes *loaded = run->loaded;
  uint64_t now = vanished_now_ms();
  size_t at = 0;
  int status = 0;
  for (size_t i = 0; i < memory->count; i++) {
    struct file_memory *known = &memory->files[i];
    while (at < loaded->file_count && strcmp(loaded->files[at].file, known->file) < 0)
      files[(*count)++] = loaded->files[at++];
    if (at < loaded->file_count && strcmp(loaded->files[at].file, known->file) == 0)
      known->vanished_ms = 0;
    else if (status == 0 && known->committed && is_kept_vanished(run, known, said, now))
      status = add_vanished(run, &files[(*count)++], known->committed);
  }
  while (at < loaded->file_count)
    files[(*count)++] = loaded->files[at++];
  return status;
}

int load_keep_vanished(struct load_run *run) {
  struct loaded_routes *loaded = run->loaded;
  struct hash_set said;
  size_t count = 0;
  struct loaded_file *files = calloc(loaded->file_count + run->loader->memory.count + 1, sizeof *files);
  if (!files)
    return -ENOMEM;
  int status = collect_new(run, &said);
  if (status == 0) {
    status = merge_vanished(run, &said, files, &count);
    free(loaded->files);
    loaded->files = files;
    loaded->file_count = count;
  } else {
    free(files);
  }
  hash_set_deinit(&said);
  return status;
}
