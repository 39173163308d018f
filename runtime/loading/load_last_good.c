/* SPDX-License-Identifier: MIT
 *
 * Copies of what was good, `state`/last-good/NAME, for a start at which a file is broken. A copy is one file, so that
 * it is replaced whole: a first line, then parts ("text 12\n", 12 bytes, "\n"), in the end the sum of all that is
 * before it. It has the modules that the file required too, named from the directory that they are in, and the
 * directory of the routes, since it is nothing to another one's. Copies are run: what others may have written is not
 * read. */
#include "loading/load_private.h"

#include "core/own_file.h"
#include "core/text.h"
#include "core/text_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char FIRST_LINE[] = "moongate last good 1\n";

enum { SUM_SIZE = 21 /* "sum 0123456789abcdef\n" */, MAX_COPY = 256 * 1024 * 1024, COPY_MODE = 0600 };

struct copy {
  char *bytes;
  size_t size;
};

static void write_part(FILE *out, const char *kind, const char *bytes, size_t size) {
  fprintf(out, "%s %zu\n", kind, size);
  fwrite(bytes, 1, size, out);
  fputc('\n', out);
}

static void write_modules(FILE *out, const struct module_list *modules, const char *module_path) {
  size_t length = strlen(module_path);
  for (size_t i = 0; i < modules->count; i++) {
    const struct module *module = modules->modules[i];
    const char *name = module->path;
    if (strncmp(name, module_path, length) == 0 && name[length] == '/')
      name += length + 1;
    write_part(out, "module", name, strlen(name));
    if (module->text)
      write_part(out, "text", module->text, module->size);
  }
}

/* The caller frees copy->bytes in each case. */
static int make_copy(const struct loader *loader, const struct file_version *good, struct copy *copy) {
  FILE *out = open_memstream(&copy->bytes, &copy->size);
  if (!out)
    return -ENOMEM;
  fputs(FIRST_LINE, out);
  write_part(out, "routes", loader->routes, strlen(loader->routes));
  write_part(out, "text", good->text, good->size);
  write_modules(out, &good->modules, loader->module_path);
  bool whole = fflush(out) == 0 && !ferror(out);
  if (whole)
    whole = fprintf(out, "sum %016" PRIx64 "\n", text_hash(copy->bytes, copy->size, 0)) == SUM_SIZE;
  whole = fclose(out) == 0 && whole;
  return whole ? 0 : -ENOMEM;
}

/* Where reading is. */
struct parts {
  const char *at, *end;
};

static bool next_part(struct parts *parts, const char *kind, const char **bytes, size_t *size) {
  size_t length = strlen(kind), left = (size_t)(parts->end - parts->at);
  if (left <= length || memcmp(parts->at, kind, length) != 0 || parts->at[length] != ' ')
    return false;
  const char *line = memchr(parts->at, '\n', left);
  char *end;
  *size = line ? strtoul(parts->at + length + 1, &end, 10) : 0;
  if (!line || end != line || *size >= (size_t)(parts->end - line - 1) || line[1 + *size] != '\n')
    return false;
  *bytes = line + 1;
  parts->at = line + 1 + *size + 1;
  return true;
}

/* Checks first line and sum. */
static bool open_parts(struct parts *parts, const char *bytes, size_t size) {
  const size_t first = sizeof FIRST_LINE - 1;
  char sum[SUM_SIZE + 1];
  if (size < first + SUM_SIZE || memcmp(bytes, FIRST_LINE, first) != 0)
    return false;
  snprintf(sum, sizeof sum, "sum %016" PRIx64 "\n", text_hash(bytes, size - SUM_SIZE, 0));
  *parts = (struct parts){bytes + first, bytes + size - SUM_SIZE};
  return memcmp(parts->end, sum, SUM_SIZE) == 0;
}

static bool last_good_is_ours(const char *ours, const char *routes, size_t size) {
  return strlen(ours) == size && memcmp(ours, routes, size) == 0;
}

/* A part is not a string: nothing ends it. */
static char *copy_bytes(const char *bytes, size_t size) {
  char *copy = malloc(size + 1);
  if (!copy)
    return NULL;
  memcpy(copy, bytes, size);
  copy[size] = '\0';
  return copy;
}

static int read_modules(const struct loader *loader, struct parts *parts, struct module_list *modules) {
  const char *name, *text;
  size_t name_size, size;
  while (next_part(parts, "module", &name, &name_size)) {
    bool is_there = next_part(parts, "text", &text, &size);
    char *relative = copy_bytes(name, name_size);
    char *path = !relative ? NULL : relative[0] == '/' ? strdup(relative) : path_join(loader->module_path, relative);
    int status = path ? module_list_add_text(modules, path, is_there ? text : NULL, is_there ? size : 0) : -ENOMEM;
    free(relative);
    free(path);
    if (status < 0)
      return status;
  }
  return parts->at == parts->end ? 0 : -EINVAL;
}

char *last_good_path(const char *state, const char *file) {
  char *path = NULL;
  return asprintf(&path, "%s/last-good/%s", state, file) < 0 ? NULL : path;
}

/* The directory of the copies, below the state directory. */
static int open_copies(const char *state, bool make, struct error *error) {
  int (*const open_own)(int, const char *, struct error *) = make ? own_directory_make : own_directory_open;
  int above = open_own(AT_FDCWD, state, error);
  if (above < 0)
    return above;
  int copies = open_own(above, "last-good", error);
  close(above);
  return copies;
}

/* The disk may not answer: the thread is away meanwhile. 0, a negative errno and `error`, or -ECANCELED. */
static int read_copy_away(struct blocking *blocking, const char *state, const char *file, char **bytes, size_t *size,
                          struct error *error) {
  *bytes = NULL;
  char *own_state = strdup(state);
  if (!own_state)
    return error_set(error, ENOMEM, "no memory to read it");
  blocking_begin(blocking);
  int directory = open_copies(own_state, false, error);
  int status = directory < 0 ? directory : own_file_read(directory, file, MAX_COPY, bytes, size, error);
  if (directory >= 0)
    close(directory);
  free(own_state);
  return blocking_end(blocking) ? status : -ECANCELED;
}

int last_good_read(const struct load_run *run, const char *file, char **text, size_t *size, struct module_list *modules,
                   struct error *error) {
  char *bytes = NULL;
  struct parts parts;
  const char *routes, *found;
  size_t whole = 0, routes_size;
  *text = NULL;
  int status = read_copy_away(run->blocking, run->config->state, file, &bytes, &whole, error);
  if (status < 0)
    goto done;
  if (!open_parts(&parts, bytes, whole) || !next_part(&parts, "routes", &routes, &routes_size) ||
      !next_part(&parts, "text", &found, size)) {
    status = error_set(error, EINVAL, "it is damaged");
    goto done;
  }
  if (!last_good_is_ours(run->loader->routes, routes, routes_size)) {
    status = -ENOENT;
    goto done;
  }
  *text = malloc(*size + 1);
  status = *text ? read_modules(run->loader, &parts, modules) : -ENOMEM;
  if (*text)
    memcpy(*text, found, *size);
  if (status < 0)
    error_set(error, -status, "it can't be read: %s", strerror(-status));
done:
  if (status < 0) {
    free(*text);
    *text = NULL;
    module_list_clear(modules);
  }
  free(bytes);
  return status;
}

static bool is_stored(int directory, const char *file, const struct copy *copy) {
  char *bytes = NULL;
  size_t size = 0;
  bool same = own_file_read(directory, file, MAX_COPY, &bytes, &size, NULL) == 0 && size == copy->size &&
              memcmp(bytes, copy->bytes, size) == 0;
  free(bytes);
  return same;
}

static int write_copy(int directory, const char *file, const struct copy *copy, struct pace *pace) {
  struct text_piece piece = {copy->bytes, copy->size};
  bool is_there = is_stored(directory, file, copy);
  pace_breathe(pace);
  return is_there ? 0 : text_file_replace_own(directory, file, &piece, 1, COPY_MODE, pace);
}

/* The disk may not answer: the thread is away meanwhile. */
static int last_good_store(struct loader *loader, int directory, struct file_version *good) {
  struct blocking *blocking = loader->blocking;
  struct pace *pace = loader->pace; /* the loader's is another's once this thread has been given up */
  struct copy copy = {0};
  int status = make_copy(loader, good, &copy);
  pace_breathe(pace);
  if (status == 0) {
    file_version_ref(good);
    load_now_store(loader, good->file);
    blocking_begin(blocking);
    status = write_copy(directory, good->file, &copy, pace);
    if (!blocking_end(blocking))
      status = -ECANCELED;
    else if (status == 0)
      good->stored = true;
    file_version_unref(good);
  }
  free(copy.bytes);
  return status;
}

/* Is the copy one of our directory's, or no copy at all? */
static bool is_ours_on_disk(const char *ours, int directory, const char *file) {
  char *bytes = NULL;
  size_t size, routes_size;
  struct parts parts;
  const char *routes;
  bool is_one = own_file_read(directory, file, MAX_COPY, &bytes, &size, NULL) == 0 &&
                (!open_parts(&parts, bytes, size) || !next_part(&parts, "routes", &routes, &routes_size) ||
                 last_good_is_ours(ours, routes, routes_size));
  free(bytes);
  return is_one;
}

static uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Turns to something else that the thread is away in. False: it has been given up. */
static bool go_on(struct loader *loader, struct blocking *blocking, const char *file) {
  if (!blocking_end(blocking))
    return false;
  pace_breathe(loader->pace);
  load_now_store(loader, file);
  return true;
}

/* Removes what a stopped process left half-written, and copies of files that are gone, as many as there is time for:
 * the next call does the rest. 0, or -ECANCELED. */
static int remove_rest(struct loader *loader, int directory, uint64_t until) {
  struct blocking *blocking = loader->blocking;
  char *ours = strdup(loader->routes);
  bool is_back = ours != NULL;
  load_now_store(loader, "files that are gone");
  blocking_begin(blocking);
  int again = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = again < 0 ? NULL : fdopendir(again);
  for (const struct dirent *entry; is_back && entries && now_ms() < until && (entry = readdir(entries));) {
    const char *name = entry->d_name;
    size_t length = strlen(name);
    if (!(is_back = go_on(loader, blocking, name)))
      break;
    bool half = name[0] == '.' && length > 5 && strcmp(name + length - 4, ".tmp") == 0;
    bool is_gone = name[0] != '.' && !memory_find(&loader->memory, name);
    blocking_begin(blocking);
    if (half || (is_gone && is_ours_on_disk(ours, directory, name)))
      unlinkat(directory, name, 0);
  }
  if (entries)
    closedir(entries);
  else if (again >= 0)
    close(again);
  free(ours);
  return blocking_end(blocking) ? 0 : -ECANCELED;
}

/* The directory of the copies, or a negative errno and `error`. */
static int open_copies_away(struct loader *loader, const char *state, struct error *error) {
  struct blocking *blocking = loader->blocking;
  char *own_state = strdup(state);
  struct error why;
  if (!own_state)
    return error_set(error, ENOMEM, "no memory to keep the last good files");
  load_now_store(loader, state);
  blocking_begin(blocking);
  int directory = open_copies(own_state, true, &why);
  free(own_state);
  if (!blocking_end(blocking)) {
    if (directory >= 0)
      close(directory);
    return -ECANCELED;
  }
  return directory >= 0
             ? directory
             : error_set(error, -directory, "the last good files can't be kept under %s: %s", state, why.message);
}

int loader_store_last_good(struct loader *loader, const char *state, uint64_t most_ms, struct error *error) {
  if (loader->store_lost && blocking_is_lost(loader->store_lost))
    return error_set(error, EIO, "the last good files can't be kept under %s: the disk has not answered yet", state);
  uint64_t until = most_ms > 0 ? now_ms() + most_ms : UINT64_MAX;
  int status = 0, directory = open_copies_away(loader, state, error);
  if (directory < 0)
    return directory;
  for (size_t i = 0; i < loader->memory.count; i++) {
    struct file_version *good = loader->memory.files[i].committed;
    pace_breathe(loader->pace);
    if (!good || good->stored)
      continue;
    if (blocking_is_hurried(loader->blocking))
      break; /* the next start does the rest */
    if (now_ms() >= until) {
      close(directory);
      return 1;
    }
    int result = last_good_store(loader, directory, good);
    if (result == -ECANCELED) {
      close(directory);
      return result;
    }
    if (result < 0 && status == 0)
      status = error_set(error, -result, "the last good version of %s can't be kept under %s: %s", good->file, state,
                         strerror(-result));
  }
  if (!blocking_is_hurried(loader->blocking) &&
      remove_rest(loader, directory, most_ms > 0 ? now_ms() + most_ms : UINT64_MAX) != 0)
    status = -ECANCELED;
  close(directory);
  return status;
}
