/* SPDX-License-Identifier: MIT
 *
 * Any bytes to the admin interface: the real one, Lua and all, on a socket, with answers made up behind
 * moongate.native. Nothing is changed or read by who has no right to, nothing is raised, and what is answered is HTTP
 * whose JSON a terminal may show. The first byte says where it comes in, who may ask, and how the rest is cut. */
#include "core/clock.h"
#include "core/loop.h"
#include "lua_lines.h"
#include "native/host.h"
#include "native/native.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOKEN "s3cret"
#define MARK "what-only-who-may-read-sees"

enum {
  OVER_TCP = 0x80,
  WITH_TOKEN = 0x40,
  WITHOUT_WRITING = 0x20,
  PIECE_MASK = 0x1f, /* 0: whole */
  PIECE_UNIT = 7,
  OUTPUT_MOST = 4 << 20
};

struct admin_fuzz {
  struct clock clock;
  struct loop loop;
  struct log log;
  struct script_place place;
  struct script_host host;
  struct native_module module;
  uint8_t mode;
  unsigned written; /* calls that change something */
  unsigned files_written;
  bool over;
  char *output;
  size_t size;
};

static void check(bool holds, const char *what) {
  if (holds)
    return;
  fprintf(stderr, "fuzz_admin: %s\n", what);
  abort();
}

/* --- what stands behind moongate.native --- */

static struct value *marked(void) {
  struct value *root = value_table();
  value_set_string(root, "mark", MARK);
  return root;
}

static void answer_marked(struct native_call *call, const char *list) {
  struct value *root = marked();
  value_set_boolean(root, "complete", true);
  value_set_table(root, list);
  native_call_answer(call, root);
}

/* What was asked for is part of the answer, so that it is written as JSON. */
static void echo(struct value *root, const char *key, const char *text) {
  check(!text || strlen(text) <= 1024, "a text longer than the query takes");
  value_set_string(root, key, text);
}

static struct value *tell_status(void) {
  struct value *root = marked();
  const char *const lists[] = {"routes", "files", "ports", "stuck"};
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
    value_set_table(root, lists[i]);
  value_set_string(root, "config", MARK);
  return root;
}

static struct value *tell_readiness(void) {
  struct value *root = value_table();
  value_set_boolean(root, "ready", true);
  value_set_table(root, "stuck");
  return root;
}

static struct value *tell_admission(const struct admin_fuzz *fuzz) {
  struct value *root = value_table();
  if (fuzz->mode & WITH_TOKEN)
    value_set_string(root, "token", TOKEN);
  value_set_string(root, "hosts", "gate.example,gate");
  value_set_boolean(root, "write", !(fuzz->mode & WITHOUT_WRITING));
  value_set_boolean(root, "public_metrics", true);
  return root;
}

/* Of a question with a page: what it selects by, its texts, are told as one of what is found. */
static struct value *answer_page(const char *question, const struct value *arguments) {
  struct value *root = marked();
  check(value_get_number(arguments, "limit", 0) <= 2000, "more than a page");
  value_set_number(root, "total", 1);
  value_set_number(root, "open", 1);
  value_set_boolean(root, "complete", false);
  value_set_table(root, "workers");
  struct value *one = value_set_table(value_set_table(root, question), NULL);
  const struct value *where = value_get(arguments, "where") ? value_get(arguments, "where") : arguments;
  for (const struct value *clause = where->first; clause; clause = clause->next)
    echo(one, clause->key, value_get_text(where, clause->key));
  value_set_table(one, "match"); /* of a route */
  value_set_table(one, "action");
  return root;
}

static struct value *answer_explain(const struct value *asked) {
  const char *domain = value_get_text(asked, "domain"), *client = value_get_text(asked, "client_ip");
  check(!value_get(asked, "offline") && !value_get(asked, "config") && !value_get(asked, "routes"),
        "files are read for who asks");
  if (!value_get(asked, "port")) {
    struct value *refusal = value_table();
    value_set_string(refusal, "error", domain ? "domain" : "port");
    value_set_number(refusal, "status", 400);
    return refusal;
  }
  struct value *root = marked();
  struct value *one = value_set_table(value_set_table(root, "candidates"), NULL);
  echo(one, "name", value_get_text(asked, "address"));
  value_set_string(one, "clause", domain ? "domains" : client ? "client_ip" : "chosen");
  value_set_table(one, "matched");
  value_set_table(one, "action");
  struct value *match = value_set_table(one, "match");
  echo(value_set_table(match, "domains"), NULL, "example.com");
  const char *version = value_get_text(asked, "tls_version");
  echo(value_set_table(match, "client_ip"), NULL, version ? version : "10.0.0.0/8");
  echo(root, "domain", domain);
  echo(root, "client_ip", client);
  value_set_table(root, "trial");
  return root;
}

static struct value *answer_to(struct admin_fuzz *fuzz, const char *question, const struct value *arguments) {
  if (strcmp(question, "status") == 0)
    return tell_status();
  if (strcmp(question, "readiness") == 0)
    return tell_readiness();
  if (strcmp(question, "explain") == 0)
    return answer_explain(arguments);
  if (strcmp(question, "admission") == 0)
    return tell_admission(fuzz);
  if (strcmp(question, "files") == 0) {
    struct value *list = value_table();
    value_set_string(value_set_table(list, NULL), "file", MARK);
    return list;
  }
  fuzz->written += strcmp(question, "kill") == 0 || strcmp(question, "config") == 0;
  if (strcmp(question, "config") != 0)
    return answer_page(question, arguments);
  struct value *refusal = value_table();
  value_set_string(refusal, "error", "not now");
  value_set_number(refusal, "status", 503);
  return refusal;
}

static void answer_question(void *context, const char *question, const struct value *arguments,
                            struct native_call *call) {
  native_call_answer(call, answer_to(context, question, arguments));
}

static struct value *tell_defaults(void *context) {
  (void)context;
  struct value *root = value_table();
  value_set_string(root, "version", "1.2.3");
  return root;
}

static void reload(void *context, struct native_call *call) {
  ((struct admin_fuzz *)context)->written++;
  answer_marked(call, "faults");
}

static void drain(void *context, int64_t ms, struct native_call *call) {
  ((struct admin_fuzz *)context)->written++;
  check(ms >= -1, "a time before now");
  answer_marked(call, "cut");
}

static void change_file(struct admin_fuzz *fuzz, const char *name, struct native_call *call) {
  fuzz->written++;
  fuzz->files_written++;
  size_t length = strlen(name);
  check(length > 4 && length <= 128 && name[0] != '.' && !strpbrk(name, "/\\\n"), "a name that leads elsewhere");
  struct value *root = marked();
  value_set_number(root, "status", 200);
  value_set_string(root, "message", name);
  native_call_answer(call, root);
}

static void put_file(void *context, const char *name, const char *text, size_t size, struct native_call *call) {
  check(text != NULL || size == 0, "no text");
  change_file(context, name, call);
}

static void delete_file(void *context, const char *name, struct native_call *call) { change_file(context, name, call); }

static const struct native_ops ops = {
    .ask = answer_question,
    .defaults = tell_defaults,
    .reload = reload,
    .put_file = put_file,
    .delete_file = delete_file,
    .drain = drain,
};

/* --- what is answered --- */

static bool is_control(const char *at, const char *end) {
  uint8_t byte = (uint8_t)*at;
  return byte < 0x20 || byte == 0x7f || (byte == 0xc2 && at + 1 < end && (uint8_t)at[1] < 0xa0);
}

static void check_text(const char *at, const char *end) {
  for (; at < end; at++)
    check(!is_control(at, end), "a control character in an answer");
}

static bool begins(const char *at, const char *end, const char *with) {
  size_t length = strlen(with);
  return (size_t)(end - at) >= length && memcmp(at, with, length) == 0;
}

/* One head; returns where its body begins, and how long that is. */
static const char *check_head(const char *at, const char *end, size_t *body, bool *is_json) {
  check(begins(at, end, "HTTP/1.1 "), "what is answered is no HTTP");
  *body = 0;
  *is_json = false;
  for (;;) {
    const char *line_end = memmem(at, (size_t)(end - at), "\r\n", 2);
    check(line_end != NULL, "a head without an end");
    if (line_end == at)
      return at + 2;
    check_text(at, line_end);
    if (begins(at, line_end, "Content-Length: "))
      *body = strtoul(at + strlen("Content-Length: "), NULL, 10);
    *is_json = *is_json || begins(at, line_end, "Content-Type: application/json");
    at = line_end + 2;
  }
}

static void check_output(const char *at, const char *end) {
  while (at < end) {
    size_t body;
    bool is_json;
    if (begins(at, end, "HTTP/1.1 100 Continue\r\n\r\n")) {
      at += strlen("HTTP/1.1 100 Continue\r\n\r\n");
      continue;
    }
    at = check_head(at, end, &body, &is_json);
    if (at == end || begins(at, end, "HTTP/1.1 "))
      continue; /* the answer to HEAD */
    check(body <= (size_t)(end - at), "a body that is cut");
    if (is_json) {
      check(body > 2 && at[0] == '{' && at[body - 1] == '\n', "JSON that is no object");
      check_text(at, at + body - 1);
    }
    at += body;
  }
}

/* --- one connection --- */

static void on_ended(struct native_task *task, int status, const char *message) {
  (void)task;
  (void)status;
  check(message == NULL, message);
}

static void fuzz_begin(struct admin_fuzz *fuzz) {
  static uint8_t bytes[64 * 1024];
  static struct flow_shared pipes;
  struct error error = {0};
  log_init(&fuzz->log, &fuzz->clock, STDERR_FILENO);
  fuzz->log.level = LOG_OFF;
  check(loop_init(&fuzz->loop, &fuzz->clock, NULL) == 0, "no loop");
  pipes = (struct flow_shared){.loop = &fuzz->loop, .bytes = bytes, .size = sizeof bytes};
  fuzz->place = (struct script_place){.loop = &fuzz->loop, .pipes = &pipes, .log = &fuzz->log};
  fuzz->module = (struct native_module){.ops = &ops, .context = fuzz};
  const struct script_options options = {.trusted = true, .log = &fuzz->log, .library = "lua"};
  check(native_host_init(&fuzz->host, &fuzz->place, &options, &fuzz->module, &error) == 0, error.message);
  fuzz->output = malloc(OUTPUT_MOST);
  check(fuzz->output != NULL, "no memory");
  lua_lines_watch(fuzz->host.state->L);
}

static void take_output(struct admin_fuzz *fuzz, int fd) {
  ssize_t count;
  while ((count = recv(fd, fuzz->output + fuzz->size, OUTPUT_MOST - fuzz->size, MSG_DONTWAIT)) > 0)
    fuzz->size += (size_t)count;
  check(fuzz->size < OUTPUT_MOST, "more is answered than anybody asked for");
  fuzz->over = count == 0 || (count < 0 && errno != EAGAIN);
}

static void talk(struct admin_fuzz *fuzz, int fd, const uint8_t *bytes, size_t size) {
  size_t piece = (fuzz->mode & PIECE_MASK) ? (size_t)(fuzz->mode & PIECE_MASK) * PIECE_UNIT : size;
  for (size_t at = 0; at < size && !fuzz->over;) {
    ssize_t count = send(fd, bytes + at, size - at < piece ? size - at : piece, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN)
      break;
    at += count > 0 ? (size_t)count : 0;
    loop_round(&fuzz->loop, false);
    take_output(fuzz, fd);
  }
  shutdown(fd, SHUT_WR);
  while (!fuzz->over) {
    loop_round(&fuzz->loop, true);
    take_output(fuzz, fd);
  }
  close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static struct admin_fuzz fuzz;
  static struct native_task task = {.on_ended = on_ended};
  struct error error = {0};
  int pair[2];
  if (size == 0)
    return 0;
  if (!fuzz.output)
    fuzz_begin(&fuzz);
  fuzz.mode = bytes[0];
  fuzz.written = fuzz.files_written = 0;
  fuzz.size = 0;
  fuzz.over = false;
  bool is_tcp = fuzz.mode & OVER_TCP, shows_token = memmem(bytes, size, TOKEN, strlen(TOKEN)) != NULL;
  bool has_token = fuzz.mode & WITH_TOKEN, says_mark = memmem(bytes, size, MARK, strlen(MARK)) != NULL;
  check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "no sockets");
  check(native_start_socket(&fuzz.host, &task, "moongate.admin", "serve", pair[1], is_tcp ? "tcp" : "control",
                            &error) == 0,
        error.message);
  talk(&fuzz, pair[0], bytes + 1, size - 1);
  for (int i = 0; i < 2; i++)
    loop_round(&fuzz.loop, false); /* what is put off to the end of a round */
  /* Nobody but Lua's garbage has hold of what was the connection's: to the sanitizer it would be a leak. */
  for (int i = 0; i < 2; i++)
    lua_gc(fuzz.host.state->L, LUA_GCCOLLECT, 0);
  check_output(fuzz.output, fuzz.output + fuzz.size);
  check(!is_tcp || fuzz.written == 0 || (has_token && shows_token && !(fuzz.mode & WITHOUT_WRITING)),
        "something was changed by who may not");
  check(fuzz.files_written == 0 || !(fuzz.mode & WITHOUT_WRITING), "a file was written although none may be");
  check(!is_tcp || !has_token || shows_token || says_mark || !memmem(fuzz.output, fuzz.size, MARK, strlen(MARK)),
        "something was read by who may not");
  return 0;
}
