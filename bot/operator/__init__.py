"""What whoever runs the bot needs: check, health, logs and reports. Imports what stands below it in the map."""
