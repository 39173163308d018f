/* SPDX-License-Identifier: MIT
 *
 * socket:starttls(options): puts TLS over the socket's stream, as a server on a handler's client and as a client on
 * what was connected, and waits for the handshake; socket:tls() tells what was agreed upon. */
#include "core/text_file.h"
#include "luasocket/socket.h"
#include "script/arguments.h"
#include "tls/stream.h"

#include <errno.h>
#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PROTOCOLS = 255, SUBJECT_SIZE = 512, MOST_PEM = 1024 * 1024 };

/* --- options --- */

static const char *const server_keys[] = {"certificate", "client_ca", "min_version", "alpn", NULL};
static const char *const client_keys[] = {"certificate", "verify", "ca", "server_name", "min_version", "alpn", NULL};

/* Pushes the option; nil where there are none. */
static void push_option(lua_State *L, int index, const char *name) {
  if (lua_istable(L, index))
    lua_getfield(L, index, name);
  else
    lua_pushnil(L);
}

struct text {
  char *bytes;
  size_t size;
};

static int push_text(lua_State *L) {
  const struct text *text = lua_touserdata(L, 1);
  lua_pushlstring(L, text->bytes, text->size);
  return 1;
}

/* 0, or a negative errno and nothing pushed. Raises without memory. */
static int push_tls_file(lua_State *L, const char *path) {
  struct text text;
  int status = text_file_read(path, MOST_PEM, &text.bytes, &text.size, NULL);
  if (status != 0)
    return status;
  script_push_cleaner(L, push_text);
  lua_pushlightuserdata(L, &text);
  status = lua_pcall(L, 1, 1, 0);
  free(text.bytes);
  return status == 0 ? 0 : lua_error(L);
}

/* Turns the string on top, a path or PEM, into PEM. False, with the fault and its detail pushed, when the file can't be
 * read. */
static bool read_pem(lua_State *L, const char *name) {
  const char *text = argument_text(L, -1);
  if (text == NULL) {
    lua_pushnil(L);
    lua_pushliteral(L, "bad certificate");
    lua_pushfstring(L, "%s: there is a NUL in it", name);
    return false;
  }
  if (strstr(text, "-----BEGIN") != NULL)
    return true;
  int status = push_tls_file(L, text);
  if (status == 0) {
    lua_remove(L, -2);
    return true;
  }
  lua_pushnil(L);
  lua_pushliteral(L, "bad certificate");
  lua_pushfstring(L, "%s: %s: %s", name, text, strerror(-status));
  return false;
}

static int check_version(lua_State *L, int index) {
  push_option(L, index, "min_version");
  const char *version = lua_tostring(L, -1);
  int number = version == NULL ? 0 : strcmp(version, "1.3") == 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
  if (!lua_isnil(L, -1) && (version == NULL || (number == TLS1_2_VERSION && strcmp(version, "1.2") != 0)))
    argument_error(L, index, "min_version = \"1.2\" or \"1.3\" expected");
  lua_pop(L, 1);
  return number;
}

static void add_protocol(lua_State *L, int index, luaL_Buffer *wire) {
  size_t size = 0;
  const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
  if (name == NULL || size == 0 || size > 255)
    argument_error(L, index, "alpn = the names of protocols, such as { \"h2\", \"http/1.1\" }, expected");
  char byte = (char)size;
  lua_pushlstring(L, &byte, 1);
  lua_insert(L, -2);
  lua_concat(L, 2);
  luaL_addvalue(wire);
}

/* Pushes the list of protocols as it goes over the wire; nothing for none. */
static void check_alpn(lua_State *L, int index, struct tls_settings *settings) {
  luaL_Buffer wire;
  push_option(L, index, "alpn");
  if (lua_isnil(L, -1))
    return;
  int list = lua_gettop(L), count = lua_istable(L, list) ? (int)lua_objlen(L, list) : 1;
  if (count == 0 || count > MOST_PROTOCOLS)
    argument_error(L, index, "alpn = one protocol or a list of them expected");
  luaL_buffinit(L, &wire);
  for (int i = 1; i <= count; i++) {
    if (lua_istable(L, list))
      lua_rawgeti(L, list, i);
    else
      lua_pushvalue(L, list);
    add_protocol(L, index, &wire);
  }
  luaL_pushresult(&wire);
  settings->alpn = (const uint8_t *)lua_tolstring(L, -1, &settings->alpn_size);
}

static bool check_certificate(lua_State *L, int index, struct tls_settings *settings) {
  push_option(L, index, "certificate");
  if (lua_isnil(L, -1))
    return true;
  int pair = lua_gettop(L);
  if (lua_istable(L, pair)) {
    lua_getfield(L, pair, "key");
    lua_getfield(L, pair, "cert");
  }
  if (!lua_istable(L, pair) || lua_type(L, -1) != LUA_TSTRING || lua_type(L, -2) != LUA_TSTRING)
    argument_error(L, index, "certificate = { cert = path or PEM, key = path or PEM } expected");
  if (!read_pem(L, "certificate"))
    return false;
  settings->certificate = lua_tostring(L, -1);
  lua_pushvalue(L, -2);
  if (!read_pem(L, "key"))
    return false;
  settings->key = lua_tostring(L, -1);
  return true;
}

static bool check_authorities(lua_State *L, int index, struct tls_settings *settings) {
  const char *name = settings->is_server ? "client_ca" : "ca";
  push_option(L, index, name);
  if (lua_isnil(L, -1))
    return true;
  if (lua_type(L, -1) != LUA_TSTRING)
    argument_error(L, index, lua_pushfstring(L, "%s = path or PEM expected", name));
  if (!read_pem(L, name))
    return false;
  settings->authorities = lua_tostring(L, -1);
  settings->verify = true;
  return true;
}

static void check_verify(lua_State *L, int index, struct tls_settings *settings) {
  if (settings->is_server)
    return;
  push_option(L, index, "verify");
  if (!lua_isnil(L, -1) && !lua_isboolean(L, -1))
    argument_error(L, index, "verify = true or false expected");
  settings->verify = lua_isnil(L, -1) || lua_toboolean(L, -1);
  lua_pop(L, 1);
}

static void check_server_name(lua_State *L, int index, const char **server_name) {
  push_option(L, index, "server_name");
  if (!lua_isnil(L, -1) && (argument_text(L, -1) == NULL || lua_objlen(L, -1) == 0 || lua_objlen(L, -1) > 253))
    argument_error(L, index, "server_name = a name expected");
  if (lua_isnil(L, -1))
    lua_pop(L, 1);
  else
    *server_name = lua_tostring(L, -1);
}

struct tls_context *socket_check_tls(lua_State *L, int index, bool is_server, const char **server_name) {
  struct script_place *place = script_state_of(L)->place;
  struct tls_settings settings = {.is_server = is_server};
  struct error error = {0};
  luaL_checkstack(L, 24, "too many arguments");
  if (lua_istable(L, index))
    argument_check_options(L, index, is_server ? server_keys : client_keys);
  else if (!lua_isnoneornil(L, index) && !(lua_isboolean(L, index) && lua_toboolean(L, index)))
    argument_check(L, false, index, "a table of options");
  if (!is_server)
    check_server_name(L, index, server_name);
  settings.min_version = check_version(L, index);
  check_verify(L, index, &settings);
  check_alpn(L, index, &settings);
  if (!check_certificate(L, index, &settings) || !check_authorities(L, index, &settings))
    return NULL;
  struct tls_context *context = tls_context_cache_get(&place->tls, &settings, &error);
  if (context == NULL) {
    lua_pushnil(L);
    lua_pushstring(L, error.code == ENOMEM ? "out of memory" : "bad certificate");
    lua_pushstring(L, error.message);
  }
  return context;
}

/* --- */

bool socket_shake_on(struct script_socket *socket) {
  if (socket->stream == NULL) {
    socket->reader.error = "closed";
    return true;
  }
  int status = tls_stream_handshake(socket->stream);
  if (status == STREAM_WANT_READ || status == STREAM_WANT_WRITE)
    return false;
  if (status < 0)
    socket->reader.error = status == -EPROTO ? "handshake failed" : socket_failure_text(status);
  socket_touch(socket, socket->reader.wait.task);
  return true;
}

/* Of no use any more: neither plain nor encrypted. */
static int push_tls_failure(lua_State *L, struct script_socket *socket) {
  const char *error = socket->reader.error;
  const char *detail = socket->stream != NULL ? tls_stream_detail(socket->stream) : NULL;
  bool connecting = socket->reader.connecting;
  socket->failure = "closed";
  socket->handshake_failed = true;
  socket->reader.error = NULL;
  socket->reader.connecting = false;
  lua_pushnil(L);
  lua_pushstring(L, error);
  lua_pushstring(L, detail);
  if (connecting)
    socket_close(socket);
  return 3;
}

int socket_push_shaken(lua_State *L, struct script_socket *socket) {
  if (socket->reader.error != NULL)
    return push_tls_failure(L, socket);
  if (!socket->reader.connecting) {
    lua_pushinteger(L, 1);
    return 1;
  }
  /* What moongate.connect has yielded last is the userdata. */
  socket->reader.connecting = false;
  lua_xmove(socket->reader.wait.task->coroutine, L, 1);
  return 1;
}

/* A server never speaks before its client's hello: what is there already was said by somebody in between, perhaps, and
 * in the clear (CVE-2011-0411). */
static bool has_spoken(struct script_socket *socket) {
  return !socket->is_client && (buffer_size(socket->ahead) > 0 || socket->stream->unread != NULL);
}

static int tls_fail(lua_State *L, const char *error, const char *detail) {
  lua_pushnil(L);
  lua_pushstring(L, error);
  lua_pushstring(L, detail);
  return 3;
}

static void check_can_start(lua_State *L, const struct script_socket *socket) {
  if (socket_has_reader(socket) || socket_has_writer(socket))
    luaL_error(L, "the socket is busy: another task is using it");
  if (socket->stream != NULL && tls_stream_is(socket->stream))
    luaL_error(L, "this socket has TLS already");
  if (socket->shut_send || socket->shut_receive)
    luaL_error(L, "starttls needs both sides of the socket, and one has been shut down");
}

int socket_starttls(lua_State *L) {
  struct script_socket *socket = socket_check(L, 1);
  if (socket->stream == NULL)
    return socket_nil_closed(L);
  check_can_start(L, socket);
  task_check(L);
  if (socket->failure != NULL || socket->ended)
    return socket_nil_closed(L);
  const char *server_name = socket->host;
  lua_settop(L, 2);
  struct tls_context *context = socket_check_tls(L, 2, socket->is_client, &server_name);
  if (context == NULL)
    return 3;
  if (server_name == NULL && !socket->is_client && SSL_CTX_get_verify_mode(context->ssl) != SSL_VERIFY_NONE) {
    tls_context_unref(context);
    return luaL_error(L, "starttls needs options with server_name here: the name that the certificate has to have");
  }
  if (has_spoken(socket)) {
    tls_context_unref(context);
    socket_forget_ahead(socket);
    socket->failure = "closed";
    return tls_fail(L, "handshake failed", "the server has sent something before TLS began");
  }
  int status = socket_give_back(socket);
  if (status == 0)
    status = tls_stream_start(socket->stream, context, server_name);
  tls_context_unref(context);
  if (status != 0)
    return tls_fail(L, socket_error_text(status), NULL);
  const struct socket_time *time = &socket->receive_time;
  return socket_wait_to_shake(L, socket, time->call_ms >= 0 ? time->call_ms : time->step_ms);
}

static void set_text(lua_State *L, const char *name, const char *text) {
  if (text == NULL)
    return;
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

int socket_tls(lua_State *L) {
  const struct script_socket *socket = socket_check(L, 1);
  if (socket->stream == NULL)
    return socket_nil_closed(L);
  if (!tls_stream_is(socket->stream)) {
    lua_pushnil(L);
    return 1;
  }
  struct tls_agreement agreement;
  char subject[SUBJECT_SIZE];
  tls_stream_agreement(socket->stream, &agreement);
  lua_createtable(L, 0, 5);
  set_text(L, "version", agreement.version);
  set_text(L, "cipher", agreement.cipher);
  set_text(L, "server_name", agreement.server_name);
  if (agreement.alpn != NULL) {
    lua_pushlstring(L, (const char *)agreement.alpn, agreement.alpn_size);
    lua_setfield(L, -2, "alpn");
  }
  if (tls_stream_peer_subject(socket->stream, subject, sizeof subject))
    set_text(L, "peer", subject);
  return 1;
}
