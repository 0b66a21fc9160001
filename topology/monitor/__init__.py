"""What people look at: the live view of `modpulse top`, and the diagnosis of `modpulse doctor`.

May touch: Kafka (read only), the terminal.
In: downstream topics, the cluster's state. Out: screens, findings.
"""
