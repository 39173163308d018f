/* SPDX-License-Identifier: MIT
 *
 * A user's file: reading its text, and running it in a user state. What goes wrong becomes a fault with its line. */
#include "core/text_file.h"
#include "loading/load_private.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* For people: why, and what to do. */
static int describe_unreadable(const char *path, int status, struct error *error) {
  char target[256];
  ssize_t length = status == -ENOENT ? readlink(path, target, sizeof target - 1) : -1;
  if (length >= 0) {
    target[length] = '\0';
    return error_set(error, ENXIO, "links to nowhere: there is no %s", target);
  }
  switch (-status) {
  case EISDIR:
    return error_set(error, EISDIR, "can't be read: it is a directory, not a regular file; give it another name");
  case ENOTSUP:
    return error_set(error, ENOTSUP, "can't be read: it is not a regular file");
  case EFBIG:
    return error_set(error, EFBIG, "is larger than 8 MiB: keep large data elsewhere");
  case EAGAIN:
    return error_set(error, EAGAIN, "was being written while it was read: save it again");
  case EACCES: {
    char text[TEXT_FILE_REFUSED_SIZE];
    return error_set(error, EACCES, "%s", text_file_refused(false, text));
  }
  case EMFILE:
  case ENFILE:
    return error_set(error, -status, "can't be read: %s; raise the limit of open files (ulimit -n), then reload",
                     strerror(-status));
  default:
    return error_set(error, -status, "can't be read: %s", strerror(-status));
  }
}

int source_read(struct source *source, const char *path, struct error *error) {
  *source = (struct source){.path = strdup(path)};
  if (!source->path)
    return error_set(error, ENOMEM, "not enough memory");
  int status = text_file_read(source->path, LOAD_MAX_FILE, &source->text, &source->size, &source->stamp);
  if (status < 0) {
    status = describe_unreadable(source->path, status, error); /* the caller's may be gone by now */
    source_clear(source);
  }
  return status;
}

void source_clear(struct source *source) {
  free(source->path);
  free(source->text);
  *source = (struct source){0};
}

char *path_directory(const char *path) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/')
    length--;
  while (length > 0 && path[length - 1] != '/')
    length--;
  while (length > 1 && path[length - 1] == '/')
    length--;
  return length > 0 ? strndup(path, length) : strdup(".");
}

/* Where `text` names a line of the file: "site.lua:12" after its start, a slash or a blank. Lua cuts long paths at
 * their start, so the base name is what is looked for. NULL: nowhere. */
static const char *find_error_line(const char *text, const char *path, int *line) {
  const char *base = strrchr(path, '/');
  base = base ? base + 1 : path;
  size_t length = strlen(base);
  for (const char *at = strstr(text, base); at; at = strstr(at + 1, base)) {
    if (at != text && !strchr("/ \t\n", at[-1]))
      continue;
    char *end = NULL;
    long number = at[length] == ':' ? strtol(at + length + 1, &end, 10) : 0;
    if (number > 0 && number <= INT32_MAX) {
      *line = (int)number;
      return end;
    }
  }
  return NULL;
}

/* Adds the fault for what Lua said: "routes/site.lua:3: what is wrong\nstack traceback: …". */
static int source_add_fault(const struct source *source, const char *text, const char *place, const struct log *log,
                            struct fault_list *faults) {
  static const char traceback[] = "\nstack traceback:";
  const char *cut = strstr(text, traceback);
  char *message = cut ? strndup(text, (size_t)(cut - text)) : strdup(text);
  if (!message)
    return -ENOMEM;
  int line = 0;
  const char *rest = find_error_line(message, source->path, &line);
  const char *shown = message;
  const char *first_blank = strpbrk(message, " \n");
  if (rest && strncmp(rest, ": ", 2) == 0 && (!first_blank || rest < first_blank))
    shown = rest + 2;
  if (!rest && !find_error_line(place, source->path, &line))
    find_error_line(text, source->path, &line);
  int status = fault_list_add(faults, source->path, line, NULL, NULL, shown[0] ? shown : "raised an empty error");
  free(message);
  if (cut)
    LOG(log, LOG_DEBUG, "a file raised an error while it was loaded", LOG_STRING("file", source->path),
        LOG_STRING("error", text));
  return status;
}

/* What people who know other notations may have meant, or what to do; "" when nothing comes to mind. */
static const char *hint_of_syntax(const char *message) {
  static const char brace[] = "'}' expected", name[] = "'<name>' expected", near[] = " near '";
  static const char constants[] = "main function has more than 65536 constants";
  const char *at = strstr(message, near);
  char first = '\0';
  if (at)
    first = at[sizeof near - 1];
  if (strncmp(message, constants, sizeof constants - 1) == 0)
    return " (so many values can't be written out in one file: make the routes in a loop, or put them into several "
           "files)";
  if (strcmp(message, "unexpected symbol near '{'") == 0)
    return " (is `return` missing? A file ends with: return { … })";
  if (strncmp(message, brace, sizeof brace - 1) == 0 && first == '=')
    return " (a key stands without quotes: name = value)";
  if (strncmp(message, brace, sizeof brace - 1) == 0 && (isalpha((unsigned char)first) || first == '{' || first == '"'))
    return " (is a comma missing before it?)";
  if (strncmp(message, name, sizeof name - 1) == 0 && (isdigit((unsigned char)first) || first == '{' || first == '"'))
    return " (a field is written with `=`: name = value)";
  return "";
}

static int add_syntax_fault(const struct source *source, const struct error *error, const struct log *log,
                            struct fault_list *faults) {
  char *text;
  if (asprintf(&text, "%s%s", error->message, hint_of_syntax(error->message)) < 0)
    return -ENOMEM;
  int status = source_add_fault(source, text, error->place, log, faults);
  free(text);
  return status;
}

int source_run(const struct source *source, struct script_state *state, lua_State *L, const struct log *log,
               struct blocking *blocking, struct fault_list *faults) {
  struct error error = {0};
  lua_pushfstring(L, "@%s", source->path); /* [chunk name] */
  int status = script_load_text(state, L, source->text, source->size, lua_tostring(L, -1), &error);
  lua_remove(L, status == 0 ? -2 : -1); /* [chunk] or [] */
  if (status < 0)
    return add_syntax_fault(source, &error, log, faults) < 0 ? -ENOMEM : status;
  pace_breathe(state->pace);
  blocking_begin(blocking);
  status = script_call(state, L, 0, 2, &error); /* [value, more] */
  if (!blocking_end(blocking))
    return -ECANCELED;
  if (status == 0 && !lua_isnil(L, -1)) {
    lua_pop(L, 2);
    status = fault_list_add(faults, source->path, 0, NULL, NULL,
                            "returns several values, and only the first would count: return one table (routes as a "
                            "list: return { { … }, { … } })");
    return status < 0 ? status : -EINVAL;
  }
  if (status == 0)
    lua_pop(L, 1);
  if (status < 0) {
    /* What is on the stack is whole; an error cuts it. */
    const char *text = status == -EINVAL && lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : error.message;
    if (source_add_fault(source, text, error.place, log, faults) < 0)
      status = -ENOMEM;
  }
  return status;
}
