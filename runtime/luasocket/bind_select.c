/* SPDX-License-Identifier: MIT
 *
 * core.select(readers, writers, seconds): waits until one of several sockets can be read or written. The sockets' own
 * events stay theirs: while it waits, their descriptors are in an epoll set of its own too, which is in the loop's. */
#include "luasocket/socket.h"
#include "script/arguments.h"
#include "script/worker_script.h"

#include <errno.h>
#include <lauxlib.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { MOST_SELECTED = 1024, DRAIN = 32 };

struct selected {
  struct script_socket **place; /* NULL: one that is not connected yet */
  int fd;                       /* … its own */
  bool writes;
  bool is_ready;
};

/* Freed at the end of the round. */
struct selecting {
  struct script_wait wait;
  struct wheel_timer timer;
  struct poll_source source;
  struct loop *loop;
  struct deferred freeing;
  int epoll;
  size_t count, readers; /* those to be read come first */
  struct selected selected[];
};

static void on_selecting_freeing(struct deferred *deferred) {
  free((char *)deferred - offsetof(struct selecting, freeing));
}

static void selecting_free(struct selecting *selecting) {
  if (selecting->epoll >= 0) {
    poller_unwatch(&selecting->loop->poller, selecting->epoll, &selecting->source);
    close(selecting->epoll);
  }
  loop_cancel_timer(selecting->loop, &selecting->timer);
  selecting->freeing.run = on_selecting_freeing;
  loop_defer(selecting->loop, &selecting->freeing);
}

static int descriptor_of(const struct selected *one) {
  if (one->place == NULL)
    return one->fd;
  const struct script_socket *socket = *one->place;
  return socket != NULL && socket->stream != NULL ? socket->stream->fd : -1;
}

static bool is_ready_now(const struct selected *one) {
  int fd = descriptor_of(one);
  if (fd < 0)
    return false; /* a closed one is never, as in LuaSocket */
  if (one->place != NULL && !one->writes)
    return !socket_has_reader(*one->place) && socket_is_readable(*one->place);
  struct pollfd polled = {.fd = fd, .events = one->writes ? POLLOUT : POLLIN};
  return poll(&polled, 1, 0) > 0;
}

static bool look_at_all(struct selecting *selecting) {
  bool any = false;
  for (size_t i = 0; i < selecting->count; i++) {
    selecting->selected[i].is_ready = is_ready_now(&selecting->selected[i]);
    any |= selecting->selected[i].is_ready;
  }
  return any;
}

/* Two lists of the places of those that are ready. */
static int push_selected(lua_State *L, void *context) {
  const struct selecting *selecting = context;
  size_t begin = 0, end = selecting->readers;
  for (int list = 0; list < 2; list++) {
    lua_newtable(L);
    int count = 0;
    for (size_t i = begin; i < end; i++)
      if (selecting->selected[i].is_ready) {
        lua_pushinteger(L, (lua_Integer)(i - begin) + 1);
        lua_rawseti(L, -2, ++count);
      }
    begin = end;
    end = selecting->count;
  }
  return 2;
}

static void resume_selecting(struct selecting *selecting) {
  task_resume_with(&selecting->wait, push_selected, selecting);
  selecting_free(selecting);
}

/* The set's own events are edges: they only say that something has changed. */
static void on_select_event(struct poll_source *source, uint32_t events) {
  struct selecting *selecting = (struct selecting *)(void *)((char *)source - offsetof(struct selecting, source));
  struct epoll_event drained[DRAIN];
  (void)events;
  while (epoll_wait(selecting->epoll, drained, DRAIN, 0) == DRAIN)
    continue;
  if (look_at_all(selecting))
    resume_selecting(selecting);
}

static void on_select_timeout(struct wheel_timer *timer) {
  struct selecting *selecting = (struct selecting *)(void *)((char *)timer - offsetof(struct selecting, timer));
  look_at_all(selecting);
  resume_selecting(selecting);
}

static void on_select_cancel(struct script_wait *wait) {
  selecting_free((struct selecting *)(void *)((char *)wait - offsetof(struct selecting, wait)));
}

/* A descriptor may be there twice, to be read and to be written. 0 or a negative errno. */
static int watch_selected(struct selecting *selecting) {
  selecting->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (selecting->epoll < 0)
    return -errno;
  for (size_t i = 0; i < selecting->count; i++) {
    int fd = descriptor_of(&selecting->selected[i]);
    struct epoll_event event = {.events = EPOLLET | (selecting->selected[i].writes ? EPOLLOUT : EPOLLIN)};
    if (fd < 0 || epoll_ctl(selecting->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
      continue;
    event.events = EPOLLET | EPOLLIN | EPOLLOUT;
    if (errno != EEXIST || epoll_ctl(selecting->epoll, EPOLL_CTL_MOD, fd, &event) != 0)
      return -errno;
  }
  return poller_watch(&selecting->loop->poller, selecting->epoll, EPOLLIN, &selecting->source);
}

/* Those of the table at `index`; raises where one is neither. They stay on the stack, so that nothing collects them. */
static void check_selected(lua_State *L, int index, struct selected *selected, size_t count) {
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, index, (int)i + 1);
    selected[i].writes = index == 2;
    if (open_socket_descriptor(L, -1, &selected[i].fd))
      continue;
    struct script_socket *socket = socket_check(L, lua_gettop(L));
    if (index == 1 && socket_has_reader(socket))
      luaL_error(L, "the socket is busy: another task is reading from it");
    selected[i].place = lua_touserdata(L, -1);
  }
}

/* Of Lua's memory: what pushes the answer may raise. */
static struct selecting *push_selecting(lua_State *L, struct loop *loop, size_t *size) {
  size_t readers = lua_objlen(L, 1), writers = lua_objlen(L, 2);
  if (readers > MOST_SELECTED || writers > MOST_SELECTED)
    luaL_error(L, "too many sockets: at most %d", MOST_SELECTED);
  luaL_checkstack(L, (int)(readers + writers) + LUA_MINSTACK, "too many sockets");
  *size = sizeof(struct selecting) + (readers + writers) * sizeof(struct selected);
  struct selecting *selecting = lua_newuserdata(L, *size);
  memset(selecting, 0, *size);
  check_selected(L, 1, selecting->selected, readers);
  check_selected(L, 2, selecting->selected + readers, writers);
  selecting->loop = loop;
  selecting->epoll = -1;
  selecting->readers = readers;
  selecting->count = readers + writers;
  selecting->timer.on_expired = on_select_timeout;
  selecting->source.on_event = on_select_event;
  return selecting;
}

int core_select(lua_State *L) {
  struct script_task *task = task_check(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  bool waits = lua_isnoneornil(L, 3) || lua_tonumber(L, 3) > 0;
  uint64_t ms = lua_isnoneornil(L, 3) ? 0 : argument_check_ms(L, 3);
  size_t size;
  struct selecting *looking = push_selecting(L, task->state->place->loop, &size);
  if (look_at_all(looking) || !waits)
    return push_selected(L, looking);
  struct selecting *selecting = malloc(size);
  if (selecting == NULL)
    return luaL_error(L, "not enough memory");
  memcpy(selecting, looking, size);
  int status = watch_selected(selecting);
  if (status != 0) {
    selecting_free(selecting);
    lua_pushnil(L);
    lua_pushstring(L, socket_error_text(status));
    return 2;
  }
  if (ms > 0)
    loop_set_timer(selecting->loop, &selecting->timer, ms);
  return task_wait(L, &selecting->wait, on_select_cancel);
}
