"""What the operator needs: the check of a set-up, the health of the running bot, the log, commands on the database.

Not its job: anything that a member of a server sees. Imports what stands below it in the map.
"""
