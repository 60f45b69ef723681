// SPDX-License-Identifier: Apache-2.0
#include "host-controller/libvirt/call-pool.h"

#include "host-controller/libvirt/connection.h"

#include <glib.h>

struct CallPool {
    char *uri;
    CallPoolWork *work;
    CallPoolDone *done;
    GThreadPool *threads;
    GAsyncQueue *idle; // virConnectPtr, not in use now; the one used last is in front
};

typedef struct Job {
    CallPool *pool;
    void *call;
} Job;

static gboolean tell(void *data)
{
    const Job *job = data;
    job->pool->done(job->call);
    return G_SOURCE_REMOVE;
}

// A connection that was idle may have died meanwhile.
static virConnectPtr take_connection(CallPool *pool)
{
    virConnectPtr connection;
    while ((connection = g_async_queue_try_pop(pool->idle))) {
        if (virConnectIsAlive(connection) == 1) {
            return connection;
        }
        virConnectClose(connection);
    }
    return connection_open(pool->uri);
}

static void give_back(CallPool *pool, virConnectPtr connection)
{
    if (connection && virConnectIsAlive(connection) == 1) {
        g_async_queue_push_front(pool->idle, connection);
    } else if (connection) {
        virConnectClose(connection);
    }
}

static void run(void *data, void *context)
{
    Job *job = data;
    CallPool *pool = context;
    virConnectPtr connection = take_connection(pool);
    pool->work(connection, job->call);
    give_back(pool, connection);
    g_idle_add_full(G_PRIORITY_DEFAULT, tell, job, g_free);
}

static Job *new_job(CallPool *pool, void *call)
{
    Job *job = g_new(Job, 1);
    *job = (Job){.pool = pool, .call = call};
    return job;
}

CallPool *call_pool_new(const char *uri, CallPoolWork *work, CallPoolDone *done)
{
    CallPool *pool = g_new0(CallPool, 1);
    pool->uri = g_strdup(uri);
    pool->work = work;
    pool->done = done;
    pool->idle = g_async_queue_new();
    pool->threads = g_thread_pool_new(run, pool, CALL_POOL_THREADS, FALSE, NULL);
    return pool;
}

void call_pool_push(CallPool *pool, void *call)
{
    // If no other thread can be made, it waits for one there is.
    g_thread_pool_push(pool->threads, new_job(pool, call), NULL);
}
