"""Who may use the bot where: the policy, memberships, and guilds that are not served.

Not its job: what a refused user is told (delivery/notices). Imports delivery.
"""
