"""What a small Cassandra is made of and told: packages, Java's flags, cassandra.yaml."""

VERSION = "5.0.9"
# Other systems, indexes, functions in Java, the query log: nothing a test touches.
UNUSED = [
    "com.datastax.cassandra:*",
    "io.netty:netty-handler-proxy",
    "io.netty:netty-handler-ssl-ocsp",
    "io.netty:netty-resolver-dns-native-macos",
    "io.netty:netty-tcnative-boringssl-static",
    "io.netty:netty-transport-classes-kqueue",
    "io.netty:netty-transport-native-kqueue",
    "net.java.dev.jna:jna-platform",
    "net.openhft:affinity",
    "net.openhft:chronicle-bytes",
    "net.openhft:chronicle-queue",
    "net.openhft:chronicle-wire",
    "org.apache.cassandra:cassandra-driver-core",
    "org.apache.lucene:*",
    "org.eclipse.jdt:ecj",
    "org.gridkit.jvmtool:*",
    "org.gridkit.lab:*",
]
LOGGING = """<configuration>
  <appender name="console" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date %-5level %logger{20}: %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="console"/></root>
</configuration>
"""
# What Cassandra's own options for Java 17 open.
EXPORTS = (
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.unsupported/sun.misc",
)
OPENS = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.compiler/com.sun.tools.javac",
    "jdk.management/com.sun.management.internal",
)
# No waiting for other nodes, no management, no measuring of what is known, no fsync (a kill loses nothing by that).
PROPERTIES = {
    "cassandra-foreground": "yes",
    "cassandra.auth_bcrypt_gensalt_log2_rounds": 4,
    "cassandra.consistent.rangemovement": "false",
    "cassandra.memtable.row_overhead_size": 181,
    "cassandra.ring_delay_ms": 0,
    "cassandra.shutdown_announce_in_ms": 0,
    "cassandra.skip_sync": "true",
    "cassandra.skip_wait_for_gossip_to_settle": 0,
    "cassandra.superuser_setup_delay_ms": 0,
    "io.netty.tryReflectionSetAccessible": "true",
    "java.net.preferIPv4Stack": "true",
    "org.apache.cassandra.disable_mbean_registration": "true",
}
SETTINGS = {
    "cluster_name": "wattline",
    "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
    "endpoint_snitch": "SimpleSnitch",
    "dynamic_snitch": False,
    "num_tokens": 1,
    "auto_bootstrap": False,
    # The default, periodic, loses acknowledged writes when the only replica is killed.
    "commitlog_sync": "batch",
    "commitlog_segment_size": "16MiB",
    "commitlog_total_space": "256MiB",
    "memtable_offheap_space": "64MiB",
    "file_cache_size": "32MiB",
    "networking_cache_size": "32MiB",
    "key_cache_size": "0MiB",
    "counter_cache_size": "0MiB",
    "prepared_statements_cache_size": "10MiB",
    # The defaults of 2 s are exceeded on a busy machine.
    "write_request_timeout": "10s",
    "read_request_timeout": "10s",
    "cas_contention_timeout": "10s",
    "auto_snapshot": False,
}
